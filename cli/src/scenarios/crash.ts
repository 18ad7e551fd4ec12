/**
 * Kills at random moments under load: supervisor, services, engine and agent by SIGKILL, in an order that a seed repeats, while
 * synthetic hosts deliver telemetry. Afterwards everything that was delivered must be accounted for, once, and every finding that the
 * events call for must stand with exactly as many occurrences as there were events.
 *
 *   node cli/scenarios/crash.mjs [--kills 8] [--seed 1] [--hosts 24] [--events 100] [--data DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Codec, folderIds } from "@assay/schemas/codec";
import { formatCount } from "../report/columns";
import { auditOf, checkAccount, checkFindings, checkStop, closing_wait_ms } from "./final-checks";
import { LoopDelays } from "./loop-delays";
import { freePorts, processNames, RunningAssay, until } from "./running-assay";
import { createApplication, rulesInForce } from "./scenario-api";
import { type Random, seeded } from "./seeded";
import { SyntheticHost } from "./synthetic-host";
import { print, Verdict } from "./verdict";

const ready_wait_ms = 90_000;
const rules_wait_ms = 90_000;
const batch_wait_ms = 1_000;
const kill_pause_min_ms = 2_000;
const kill_pause_max_ms = 7_000;
/** Without kills, to measure what a start doesn't disturb. */
const steady_load_ms = 25_000;
const loop_delay_p99_max_ms = 50;

export async function crashScenario(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kills: { type: "string", default: "8" },
      seed: { type: "string", default: "1" },
      hosts: { type: "string", default: "24" },
      events: { type: "string", default: "100" },
      data: { type: "string" },
    },
  });
  const random = seeded(Number(values.seed));
  const data = values.data ?? mkdtempSync(join(tmpdir(), "assay-crash-"));
  const assay = new RunningAssay(data, await freePorts());
  const verdict = new Verdict();
  const load = { seed: values.seed, hosts: Number(values.hosts), events: Number(values.events) };
  try {
    print(
      `seed ${load.seed}, ${values.kills} kills, ${load.hosts} hosts with ${load.events} events a second each, data in ${data}`,
    );
    assay.start();
    await assay.ready(ready_wait_ms);
    const hosts = await prepareHosts(assay, load, random);
    const stopping = new AbortController();
    const delivering = Promise.all([...hosts.values()].map((host) => host.run(stopping.signal)));
    delivering.catch(() => undefined); // awaited below
    const delays = new LoopDelays(assay.metrics_url);
    const kills = killAtRandom(assay, Number(values.kills), random).then(() => delays.watchFor(steady_load_ms));
    await Promise.race([kills, delivering]); // a host that can't deliver ends it
    stopping.abort();
    await delivering;
    await sleep(closing_wait_ms);
    await Promise.all([...hosts.values()].map((host) => host.finish()));

    const delivered = new Map([...hosts].map(([host_id, host]) => [host_id, host.delivered()]));
    await checkFindings(assay, delivered, verdict);
    await checkStop(assay, verdict);
    checkAccount(auditOf(data), delivered, verdict);
    for (const [service, p99_ms] of delays.p99_ms()) {
      const what = `event loop of ${service}: p99 ${p99_ms.toFixed(1)} ms, below ${loop_delay_p99_max_ms} ms`;
      verdict.expect(`${what}, under ${formatCount(load.hosts * load.events)} events a second`, p99_ms < loop_delay_p99_max_ms);
    }
  } catch (error) {
    verdict.expect(error instanceof Error ? error.message : String(error), false);
    print(assay.output());
  } finally {
    for (const pid of assay.pids()) process.kill(pid, "SIGKILL");
    if (verdict.failures === 0 && values.data === undefined) rmSync(data, { recursive: true, force: true });
    else print(`the data stay in ${data}`);
  }
  print(verdict.failures === 0 ? "crash scenario: passed" : `crash scenario: ${verdict.failures} FAILED`);
  return verdict.failures === 0 ? 0 : 1;
}

/** An application of their own, in force with the rule packages before the first event. */
async function prepareHosts(
  assay: RunningAssay,
  load: { readonly seed: string; readonly hosts: number; readonly events: number },
  random: Random,
): Promise<Map<string, SyntheticHost>> {
  const codec = new Codec(folderIds());
  const hosts = new Map<string, SyntheticHost>();
  for (let i = 0; i < load.hosts; i++) {
    const host_id = `synthetic-${load.seed}-${i}`;
    const host = new SyntheticHost({
      host_id,
      address: `10.0.${Math.floor(i / 250)}.${1 + (i % 250)}`,
      random: seeded(random.between(0, 2 ** 31)),
      codec,
      batch_wait_ms,
      events_per_batch: load.events,
      ingest_url: assay.ingest_url,
      enrol_secret: assay.enrolSecret(),
    });
    hosts.set(host_id, host);
  }
  const in_force_from = await createApplication(assay, "synthetic", [...hosts.keys()]);
  await until(
    rules_wait_ms,
    "the rules were not in force",
    async () => Date.now() > in_force_from && (await rulesInForce(assay)),
  );
  return hosts;
}

async function killAtRandom(assay: RunningAssay, kills: number, random: Random): Promise<void> {
  for (let i = 1; i <= kills; i++) {
    await sleep(random.between(kill_pause_min_ms, kill_pause_max_ms));
    const name = random.pick(processNames);
    const killed = await assay.kill(name);
    print(`kill ${String(i).padStart(3)} of ${kills}: ${name}${killed ? "" : " (was not running)"}`);
    if (name === "supervisor") assay.start();
  }
  await assay.ready(ready_wait_ms);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
