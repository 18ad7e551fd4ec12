/** An agent that can't reach ingest for a while: what its windows must look like afterwards. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { TelemetryBatch } from "@assay/schemas/generated/types";
import { batchesOf, windowsOf } from "./read-topics";
import type { RealAgent } from "./real-agent";
import { until } from "./running-assay";
import type { TcpProxy } from "./tcp-proxy";
import { print, type Verdict } from "./verdict";

export interface CutOffPlan {
  readonly data: string;
  readonly agent: RealAgent;
  readonly cable: TcpProxy;
  readonly cut_off_ms: number;
  readonly window_ms: number;
}

const before_wait_ms = 60_000;
/** After the host has been silent for as long as the settings say. */
const silence_wait_ms = 90_000;
const deliver_wait_ms = 120_000;
/** Between the cut and the window's end there is time for the agent to see a process. */
const cut_into_window_ms = 3_000;
const process_run_s = 2;
/** What the agent holds at any time, cut off or not. */
const spooled_usually_max = 2;

/** meanwhile: what is done while the agent is cut off; the cut lasts as long as that, or cut_off_ms where that is longer. */
export async function checkCutOff(plan: CutOffPlan, verdict: Verdict, meanwhile: () => Promise<void>): Promise<void> {
  const { data, agent, cable, window_ms } = plan;
  const windows = () => windowsOf(data, agent.host_id);
  await until(before_wait_ms, "the agent had no window before the cut", async () => (await windows()).length > 0);

  await sleep(window_ms - (Date.now() % window_ms) + cut_into_window_ms);
  await cable.cut();
  const cut_at = Date.now();
  // It begins in the window that silence will close: the agent tells of it after the window has closed.
  spawn("sleep", [String(process_run_s)], { stdio: "ignore" });
  print(`        the agent is cut off at ${new Date(cut_at).toISOString()}`);
  const silent = until(silence_wait_ms, "no window of the agent was closed by silence", async () =>
    (await windows()).some((window) => window.closed_by === "silent" && window.window_end > cut_at),
  );
  silent.catch(() => undefined); // awaited below
  await meanwhile();
  await sleep(cut_at + plan.cut_off_ms - Date.now());
  await silent;
  const spooled = agent.spooled();
  verdict.expect(`the agent kept what it couldn't deliver (${spooled} batches)`, spooled > spooled_usually_max);
  await cable.open();
  const back_at = Date.now();
  print(`        the agent is back after ${((back_at - cut_at) / 1_000).toFixed(0)} s`);

  await until(deliver_wait_ms, "the spool was not delivered", () => agent.spooled() <= spooled_usually_max);
  await until(deliver_wait_ms, "the window in which the agent came back did not close", async () =>
    (await windows()).some((window) => window.window_start > back_at),
  );
  const batches = firstOfEach(await batchesOf(data, agent.host_id));
  verdict.expect("it delivered its spool in order, without a gap", isInOrder(batches));
  verdict.expect(
    "it lost nothing",
    batches.every((batch) => batch.drops.length === 0),
  );

  const all = await windows();
  const bases = all.filter((window) => window.closed_by !== "supplement");
  const starts = new Set(bases.map((window) => window.window_start));
  const missing: number[] = [];
  for (let start = Math.floor(cut_at / window_ms) * window_ms; start <= back_at; start += window_ms) {
    if (!starts.has(start)) missing.push(start);
  }
  for (const start of missing) print(`        there is no window from ${new Date(start).toISOString()}`);
  verdict.expect("the windows of the time of the cut are there, each once", missing.length === 0 && starts.size === bases.length);

  const closed = new Set(
    all.filter((window) => window.closed_by === "silent" && window.window_end > cut_at).map((window) => window.window_start),
  );
  verdict.expect(`silence closed the window in which it was cut off (${closed.size})`, closed.size > 0);
  const late = batches
    .filter((batch) => batch.sent_at >= back_at)
    .flatMap((batch) => [...batch.processes, ...batch.connections, ...batch.listeners])
    .filter((event) => closed.has(Math.floor(event.at / window_ms) * window_ms)).length;
  const supplemented = all
    .filter((window) => window.closed_by === "supplement" && closed.has(window.window_start))
    .flatMap((window) => window.counts)
    .reduce((sum, count) => sum + count.windowed, 0);
  verdict.expect(
    `what it had seen of that window came as supplements (${supplemented} of ${late} events)`,
    late > 0 && supplemented === late,
  );
}

/** Without those that came twice because an answer was lost. */
function firstOfEach(batches: readonly TelemetryBatch[]): TelemetryBatch[] {
  const seen = new Set<string>();
  return batches.filter((batch) => {
    const id = `${batch.incarnation}:${batch.seq}`;
    return !seen.has(id) && seen.add(id);
  });
}

function isInOrder(batches: readonly TelemetryBatch[]): boolean {
  return batches.every((batch, i) => batch.seq === i + 1 && batch.incarnation === batches[0]?.incarnation);
}
