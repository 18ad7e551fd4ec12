/**
 * Everything bad that a running Assay meets: refused batches, wrong clocks, taken ports and directories, killed processes, an agent
 * that is cut off, a full log. Each has to end in a clear error where one is due, and all of it in an audit that adds up.
 *
 *   node cli/scenarios/bad-input.mjs [--cut-off-ms 45000] [--data DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Codec, folderIds } from "@assay/schemas/codec";
import { badBatches } from "./bad-batches";
import { checkCutOff } from "./cut-off";
import { auditOf, checkAccount, checkFindings, checkStop, closing_wait_ms } from "./final-checks";
import { checkFullLog } from "./full-log";
import { RawHost } from "./raw-host";
import { deadLettersOf, windowsOf } from "./read-topics";
import { RealAgent } from "./real-agent";
import { type AssayPorts, freePorts, isRunning, RunningAssay, until } from "./running-assay";
import { allFindings, createApplication, rulesInForce } from "./scenario-api";
import { seeded } from "./seeded";
import { type Delivered, SyntheticHost } from "./synthetic-host";
import { TcpProxy } from "./tcp-proxy";
import { print, Verdict } from "./verdict";

const ready_wait_ms = 90_000;
const rules_wait_ms = 90_000;
const rows_wait_ms = 60_000;
const ended_wait_ms = 20_000;
const refusal_wait_ms = 30_000;
const window_ms = 10_000;
const hour_ms = 3_600_000;
const batch_wait_ms = 1_000;
const events_per_batch = 60;
const clock_jitter_ms_max = 5_000;
/** In one window more than a record of the log takes. */
const wide_batches = 4;
const wide_events = 15;
const wide_text_length = 60_000;
/** Short, so that a cut of the default length shows silence; a longer cut shows it at the usual one. */
const silent_after_ms = 20_000;
const silent_after_default_ms = 60_000;

export async function badInputScenario(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { "cut-off-ms": { type: "string", default: "45000" }, data: { type: "string" } },
  });
  const cut_off_ms = Number(values["cut-off-ms"]);
  const root = values.data ?? mkdtempSync(join(tmpdir(), "assay-bad-input-"));
  const data = join(root, "first");
  const codec = new Codec(folderIds());
  const verdict = new Verdict();
  const silence = cut_off_ms > 2 * silent_after_default_ms ? {} : { ASSAY_HOST_SILENT_AFTER_MS: String(silent_after_ms) };
  const assay = new RunningAssay(data, await freePorts(), silence);
  const cable = new TcpProxy(assay.ports.ingest);
  const stopping = new AbortController();
  let agent: RealAgent | undefined;
  const began = Date.now();
  try {
    print(`an agent cut off for ${cut_off_ms} ms, data in ${root}`);
    assay.start();
    await assay.ready(ready_wait_ms);
    await cable.open();
    agent = new RealAgent("a-second-agent", join(root, "agent"), cable.url, assay.enrolSecret());
    agent.start();
    const refused = new RawHost("refused", codec, assay.ingest_url, assay.enrolSecret());
    const wide = new RawHost("wide", codec, assay.ingest_url, assay.enrolSecret());
    const hosts = syntheticHosts(assay, codec);
    const in_force_from = await createApplication(assay, "synthetic", [
      ...hosts.keys(),
      refused.host_id,
      wide.host_id,
      agent.host_id,
    ]);

    print("bad batches");
    await checkBadBatches(assay, refused, codec, verdict);
    await until(
      rules_wait_ms,
      "the rules were not in force",
      async () => Date.now() > in_force_from && (await rulesInForce(assay)),
    );
    const loaded_from = Date.now();
    const delivering = Promise.all([...hosts.values()].map((host) => host.run(stopping.signal)));
    delivering.catch(() => undefined); // awaited below
    const steps = async (cut_off: RealAgent) => {
      print("good batches afterwards; the clocks of two hosts an hour off");
      await checkGoodBatches(assay, refused, wide, verdict);
      await checkClocks(assay, hosts, loaded_from, verdict);
      print("ports and a data directory in use");
      await checkInUse(assay, root, verdict);
      print("the engine killed");
      await checkEngineKill(assay, verdict);
      print("the supervisor killed in mid-window");
      await checkSupervisorKill(assay, verdict);
      print("an agent cut off; meanwhile, a second Assay with a full log");
      await checkCutOff({ data, agent: cut_off, cable, cut_off_ms, window_ms }, verdict, () =>
        checkFullLog(join(root, "full"), codec, verdict),
      );
    };
    await Promise.race([steps(agent), delivering]); // a host that can't deliver ends it

    print("the end");
    stopping.abort();
    await delivering;
    await sleep(closing_wait_ms);
    await Promise.all([...hosts.values()].map((host) => host.finish()));
    const delivered = new Map<string, Delivered>([...hosts].map(([host_id, host]) => [host_id, host.delivered()]));
    await checkFindings(assay, delivered, verdict);
    const code = await agent.stop();
    verdict.expect(`the second agent stopped with exit code 0 (${code})`, code === 0);
    await checkStop(assay, verdict);
    verdict.expect("no port was left open", await allClosed(assay.ports));
    for (const host of [refused, wide]) delivered.set(host.host_id, host.delivered());
    checkAccount(auditOf(data), delivered, verdict);
  } catch (error) {
    verdict.expect(error instanceof Error ? error.message : String(error), false);
    print(assay.output());
    print(agent?.output() ?? "");
  } finally {
    stopping.abort();
    for (const pid of [...assay.pids(), ...[agent?.pid() ?? []].flat()]) process.kill(pid, "SIGKILL");
    await cable.cut();
    if (verdict.failures === 0 && values.data === undefined) rmSync(root, { recursive: true, force: true });
    else print(`the data stay in ${root}`);
  }
  const took = `${((Date.now() - began) / 1_000).toFixed(0)} s`;
  print(verdict.failures === 0 ? `bad input: passed in ${took}` : `bad input: ${verdict.failures} FAILED in ${took}`);
  return verdict.failures === 0 ? 0 : 1;
}

function syntheticHosts(assay: RunningAssay, codec: Codec): Map<string, SyntheticHost> {
  const clocks = { "steady-0": 0, "steady-1": 0, "an-hour-ahead": hour_ms, "an-hour-behind": -hour_ms };
  return new Map(
    Object.entries(clocks).map(([host_id, clock_ahead_ms], i) => [
      host_id,
      new SyntheticHost({
        host_id,
        clock_ahead_ms,
        address: `10.0.0.${i + 1}`,
        random: seeded(i),
        codec,
        ingest_url: assay.ingest_url,
        enrol_secret: assay.enrolSecret(),
        batch_wait_ms,
        events_per_batch,
      }),
    ]),
  );
}

async function checkBadBatches(assay: RunningAssay, host: RawHost, codec: Codec, verdict: Verdict): Promise<void> {
  const other = new RawHost("refused-too", codec, assay.ingest_url, assay.enrolSecret());
  await host.enrol();
  await other.enrol();
  const due: { reason: string; bytes: Buffer | null }[] = [];
  for (const { what, request, status, code, says, dead_letter } of badBatches(host, other, codec, await host.challenge())) {
    const answer = await host.post(request);
    const right = answer.status === status && answer.code === code && says.test(answer.message);
    verdict.expect(`${what}: ${answer.status} ${answer.code}: ${answer.message}`, right);
    if (dead_letter) due.push(dead_letter);
  }
  await sendHalf(assay.ports.ingest, host.headers());
  const letters = await deadLettersOf(assay.data, host.host_id);
  const kept = letters.map(({ reason, value }) => ({ reason, bytes: value }));
  const wrong = due.filter((letter, i) => {
    const found = kept[i];
    const same = letter.bytes === null ? found?.bytes === null : found?.bytes && letter.bytes.equals(found.bytes);
    return found?.reason !== letter.reason || !same;
  });
  for (const { reason } of wrong) print(`        no dead letter with the bytes of: ${reason}`);
  verdict.expect(
    `each refused record is a dead letter with its reason and its bytes (${letters.length} of ${due.length})`,
    wrong.length === 0 && letters.length === due.length,
  );
}

/** A request that ends in the middle of its body: nobody is there for an answer. */
async function sendHalf(port: number, headers: Readonly<Record<string, string>>): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const head = ["POST /v1/telemetry HTTP/1.1", "host: ingest", "content-length: 1000", ...lines].join("\r\n");
  await new Promise<void>((resolve) => socket.write(`${head}\r\n\r\n${"x".repeat(500)}`, () => resolve()));
  socket.destroy();
}

/** Also one whose windows hold more text than a record of the log takes. */
async function checkGoodBatches(assay: RunningAssay, refused: RawHost, wide: RawHost, verdict: Verdict): Promise<void> {
  const answer = await refused.send(refused.batch([{}, {}, {}]));
  verdict.expect(`a good batch of that host is accepted (${answer.status})`, answer.status === 200);
  await wide.enrol();
  for (let i = 0; i < wide_batches; i++) {
    const texts = Array.from({ length: wide_events }, (_, n) => ({ command_line: `${i} ${n} ${"x".repeat(wide_text_length)}` }));
    const accepted = await wide.send(wide.batch(texts));
    if (accepted.status !== 200) throw new Error(`${wide.host_id}: ${accepted.status} ${accepted.message}`);
  }
  await sleep(closing_wait_ms);
  for (const [host, events] of [
    [refused, 3],
    [wide, wide_batches * wide_events],
  ] as const) {
    await host.send(host.batch([])); // it says that the window is complete
    const sums = { windowed: 0, cut: 0 };
    const allThere = async () => {
      const counts = (await windowsOf(assay.data, host.host_id)).flatMap((window) => window.counts);
      sums.windowed = counts.reduce((sum, count) => sum + count.windowed, 0);
      sums.cut = counts.reduce((sum, count) => sum + count.cut, 0);
      return sums.windowed === events;
    };
    await until(rows_wait_ms, "", allThere).catch(() => undefined); // told below
    const told = `${sums.windowed} of ${events} events, ${sums.cut} of them cut`;
    verdict.expect(`${host.host_id}: its events are windowed (${told})`, sums.windowed === events);
  }
}

async function checkClocks(
  assay: RunningAssay,
  hosts: ReadonlyMap<string, SyntheticHost>,
  loaded_from: number,
  verdict: Verdict,
): Promise<void> {
  for (const host_id of [...hosts.keys()].filter((id) => id.startsWith("an-hour"))) {
    await until(rows_wait_ms, `${host_id} has no window`, async () => (await windowsOf(assay.data, host_id)).length > 0);
    const windows = await windowsOf(assay.data, host_id);
    const from = Math.floor((loaded_from - clock_jitter_ms_max) / window_ms) * window_ms;
    const times = windows.map((window) => new Date(window.window_start).toISOString().slice(11, 19)).join(", ");
    const offsets = new Set(windows.map((window) => window.clock_offset_ms));
    verdict.expect(
      `${host_id}: its windows stand at the true time (${times}; corrected by ${[...offsets].join(", ")} ms)`,
      windows.every((window) => window.window_start >= from && window.window_start <= Date.now() && window.counts.length > 0),
    );
  }
}

async function checkInUse(assay: RunningAssay, root: string, verdict: Verdict): Promise<void> {
  const pids = assay.pids();
  const cases: [keyof AssayPorts | "data", RegExp][] = [
    ["report_api", new RegExp(`port ${assay.ports.report_api} .*in use.*--port, ASSAY_REPORT_API_PORT`)],
    ["ingest", new RegExp(`port ${assay.ports.ingest} .*in use.*ASSAY_INGEST_PORT`)],
    ["metrics", new RegExp(`port ${assay.ports.metrics} .*in use.*ASSAY_METRICS_PORT`)],
    ["data", new RegExp(`${assay.data} is in use by process ${assay.pid("supervisor")}.*--data, ASSAY_DATA_DIR`)],
  ];
  for (const [what, says] of cases) {
    const free = await freePorts();
    const ports = what === "data" ? free : { ...free, [what]: assay.ports[what] };
    const second = new RunningAssay(what === "data" ? assay.data : join(root, `second-${what}`), ports);
    second.start();
    const code = await Promise.race([second.ended(), sleep(refusal_wait_ms, undefined)]);
    const told = second
      .output()
      .split("\n")
      .find((line) => line.startsWith("assay: "));
    verdict.expect(`a second assay up, ${what} in use: exit code ${code}, ${told}`, code === 1 && says.test(told ?? ""));
    for (const pid of second.pids()) process.kill(pid, "SIGKILL");
  }
  const { ok } = await fetch(`${assay.metrics_url}/ready`);
  verdict.expect("the first one goes on", ok && pids.join() === assay.pids().join());
}

async function checkEngineKill(assay: RunningAssay, verdict: Verdict): Promise<void> {
  const before = assay.pid("engine");
  await assay.kill("engine");
  const killed_at = Date.now();
  await until(ready_wait_ms, "the engine did not come back", () => ![undefined, before].includes(assay.pid("engine")));
  await assay.ready(ready_wait_ms);
  verdict.expect(`the engine came back within ${((Date.now() - killed_at) / 1_000).toFixed(1)} s`, true);
  await checkRowsGoOn(assay, killed_at, verdict);
}

async function checkSupervisorKill(assay: RunningAssay, verdict: Verdict): Promise<void> {
  const firstSeen = async () => new Map((await allFindings(assay)).map((finding) => [finding.id, finding.first_seen]));
  await sleep((window_ms * 3) / 2 - (Date.now() % window_ms));
  const before = await firstSeen();
  const pids = assay.pids();
  await assay.kill("supervisor");
  const killed_at = Date.now();
  await until(ended_wait_ms, "its children outlived the supervisor", () => !pids.some(isRunning));
  verdict.expect(`its children ended with it, within ${((Date.now() - killed_at) / 1_000).toFixed(1)} s`, true);
  assay.start();
  await assay.ready(ready_wait_ms);
  await checkRowsGoOn(assay, killed_at, verdict);
  const after = await firstSeen();
  const changed = [...before].filter(([id, first_seen]) => after.get(id) !== first_seen);
  verdict.expect(`${before.size} findings are there again, first seen when they were`, before.size > 0 && changed.length === 0);
}

async function checkRowsGoOn(assay: RunningAssay, since: number, verdict: Verdict): Promise<void> {
  let newest = 0;
  const goOn = async () => {
    newest = Math.max(...(await allFindings(assay)).map((finding) => Date.parse(finding.last_seen)));
    return newest > since + window_ms / 2;
  };
  await until(rows_wait_ms, "", goOn).catch(() => undefined); // told below
  verdict.expect(`rows go on: a finding seen at ${new Date(newest).toISOString()}`, newest > since + window_ms / 2);
}

async function allClosed(ports: AssayPorts): Promise<boolean> {
  const open = await Promise.all(
    [ports.report_api, ports.ingest, ports.metrics].map(
      (port) =>
        new Promise<boolean>((resolve) => {
          const socket = connect(port, "127.0.0.1");
          socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
          socket.once("connect", () => socket.destroy());
        }),
    ),
  );
  return !open.includes(true);
}
