/**
 * The pipeline under load, end to end: hosts deliver telemetry at a rate for a while; what comes of it is counted, timed and audited.
 *
 *   npm run bench -- pipeline [--mode embedded|kafka|both] [--rate 100000] [--seconds 60] [--hosts 500] [--unique 0.2] [--keep]
 *
 * It exits with 1 where an event is lost or counted twice, a marked event has no finding, or the rate was not held. Broker, engine, services and
 * load share this machine; the load plans its batches beforehand.
 */
import { parseArgs } from "node:util";
import { until } from "@assay/cli/scenarios/running-assay";
import { createApplication, rulesInForce } from "@assay/cli/scenarios/scenario-api";
import { compareWithBaseline, keepBaseline } from "./baseline";
import { startEmbedded } from "./embedded-target";
import { startKafka } from "./kafka-target";
import { FindingWatch, quantile } from "./latency";
import { hostId, type Life } from "./life";
import { Load } from "./load";
import { printResult, type Result } from "./result";
import type { Target } from "./target";
import { readServices, type Usage, usageOf } from "./usage";

const hosts_per_application = 25;
const in_force_wait_ms = 120_000;
/** After the last window has closed: how long findings may take to appear. */
const settle_wait_ms = 120_000;
/** Until what was read is evaluated, written and committed: the stages flush every second or two here. */
const flushing_wait_ms = 10_000;
const sample_wait_ms = 1_000;
/** The rate counts as held where this share of it was delivered in its time. */
const held_share = 0.99;

export async function pipeline(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      mode: { type: "string", default: "both" },
      rate: { type: "string", default: "100000" },
      seconds: { type: "string", default: "60" },
      hosts: { type: "string", default: "500" },
      unique: { type: "string", default: "0.2" },
      keep: { type: "boolean", default: false },
    },
  });
  const load = {
    rate: Number(values.rate),
    seconds: Number(values.seconds),
    hosts: Number(values.hosts),
    unique_share: Number(values.unique),
  };
  let failures = 0;
  for (const mode of values.mode === "both" ? (["embedded", "kafka"] as const) : [values.mode]) {
    const target = await start(mode);
    try {
      const result = await measure(target, load);
      printResult(result);
      for (const line of compareWithBaseline(result)) process.stdout.write(`${line}\n`);
      if (values.keep) keepBaseline(result);
      failures += result.problems.length;
    } finally {
      await target.dispose();
    }
  }
  return failures === 0 ? 0 : 1;
}

function start(mode: string): Promise<Target> {
  if (mode === "embedded") return startEmbedded();
  if (mode === "kafka") return startKafka();
  throw new Error(`--mode is ${mode}, not embedded, kafka or both`);
}

interface Offered {
  readonly rate: number;
  readonly seconds: number;
  readonly hosts: number;
  readonly unique_share: number;
}

async function measure(target: Target, offered: Offered): Promise<Result> {
  const { api } = target;
  const in_force: number[] = [];
  for (let first = 0; first < offered.hosts; first += hosts_per_application) {
    const count = Math.min(hosts_per_application, offered.hosts - first);
    const members = Array.from({ length: count }, (_, i) => hostId(first + i));
    in_force.push(await createApplication(api, `bench-${first / hosts_per_application}`, members));
  }
  await until(
    in_force_wait_ms,
    "the rules were not in force",
    async () => Date.now() > Math.max(...in_force) && (await rulesInForce(api)),
  );

  const load = new Load({
    ingest_urls: target.ingest_urls,
    enrol_secret: target.enrol_secret,
    hosts: offered.hosts,
    life: lifeOf(target, offered),
    lateness_ms: target.lateness_ms,
    run_ms: offered.seconds * 1_000,
  });
  try {
    const { run_start, bytes } = await load.until("prepared");
    const watch = new FindingWatch(api);
    await sleep(run_start - Date.now());
    const before = await reading(target, load);
    const lags = watchLag(target, load);
    const { now: sent_at, marked } = await load.until("sent");
    const after = await reading(target, load);
    const sent = load.latest("progress");
    const lag_records_max = await lags.stop();
    await load.until("closed");
    const last_marked = Object.values(marked).flat().length;
    await until(settle_wait_ms, "", () => watch.latencies_ms(marked).missing === 0).catch(() => undefined); // told below
    const drained_at = Date.now();
    await watch.stop();
    await until(settle_wait_ms, "the stages did not read all", () => isAllRead(target));
    await sleep(flushing_wait_ms);
    const audit = await target.finish();
    const { found, missing } = watch.latencies_ms(marked);
    const events = sent?.events ?? 0;
    const rows = audit.rows.filter((row) => row.host_id.startsWith("bench-"));
    const total = (of: (row: (typeof rows)[number]) => number) => rows.reduce((sum, row) => sum + of(row), 0);
    const took_seconds = (sent_at - run_start) / 1_000;
    const accepted = total((row) => row.accepted - row.duplicates);
    return {
      mode: target.mode,
      offered,
      events,
      bytes_per_event: bytes / events,
      seconds: took_seconds,
      events_per_second: events / took_seconds,
      late_ms_max: sent?.late_ms_max ?? Number.NaN,
      lag_records_max,
      drained_seconds: (drained_at - sent_at) / 1_000,
      cpu_seconds: difference(before, after),
      peak_bytes: new Map([...after.processes].map(([name, usage]) => [name, usage.peak_bytes])),
      loop_p99_ms: after.services.loop_p99_ms,
      finding_ms: { p50: quantile(found, 0.5), p99: quantile(found, 0.99), count: found.length },
      window_ms: target.window_ms,
      lateness_ms: target.lateness_ms,
      problems: [
        ...audit.problems,
        ...(accepted === events ? [] : [`${events} events were delivered, ${accepted} accepted without repeats`]),
        ...(total((row) => row.pending) === 0 ? [] : [`${total((row) => row.pending)} events are pending at the end`]),
        ...(missing === 0 ? [] : [`${missing} of ${last_marked} marked events have no finding`]),
        ...(events / took_seconds >= offered.rate * held_share
          ? []
          : [`the rate of ${offered.rate} events/s was not held: ${Math.round(events / took_seconds)}`]),
      ],
    };
  } finally {
    load.stop();
  }
}

function lifeOf(target: Target, offered: Offered): Life {
  const batch_ms = 1_000;
  return {
    distinct: 40,
    flows: 10,
    command_line_bytes: 120,
    unique_share: offered.unique_share,
    window_ms: target.window_ms,
    batch_ms,
    events_per_batch: Math.round((offered.rate / offered.hosts) * (batch_ms / 1_000)),
  };
}

interface Reading {
  readonly processes: ReadonlyMap<string, Usage>;
  readonly services: Awaited<ReturnType<typeof readServices>>;
}

async function reading(target: Target, load: Load): Promise<Reading> {
  return {
    processes: usageOf([...target.processes(), { name: "load", pid: load.pid }]),
    services: await readServices(target.metrics_urls),
  };
}

/** CPU seconds of processes, and below them of the threads that the services have there. */
function difference(before: Reading, after: Reading): Map<string, number> {
  const spent = new Map<string, number>();
  for (const [name, { cpu_seconds }] of after.processes) {
    spent.set(name, cpu_seconds - (before.processes.get(name)?.cpu_seconds ?? 0));
  }
  for (const [service, cpu_seconds] of after.services.cpu_seconds) {
    spent.set(`thread ${service}`, cpu_seconds - (before.services.cpu_seconds.get(service) ?? 0));
  }
  return spent;
}

/** The most that each stage was behind, looked at once a second. */
function watchLag(target: Target, load: Load): { stop(): Promise<ReadonlyMap<string, number>> } {
  const worst = new Map<string, number>();
  let stopping = false;
  const watching = (async () => {
    while (!stopping && load.latest("sent") === undefined) {
      const { lag_records } = await readServices(target.metrics_urls);
      for (const [stage, lag] of lag_records) worst.set(stage, Math.max(worst.get(stage) ?? 0, lag));
      await sleep(sample_wait_ms);
    }
  })();
  return {
    async stop() {
      stopping = true;
      await watching;
      return worst;
    },
  };
}

async function isAllRead(target: Target): Promise<boolean> {
  const { lag_records } = await readServices(target.metrics_urls);
  return [...lag_records.values()].every((lag) => lag === 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
