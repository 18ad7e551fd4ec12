/**
 * The three stages on a real embedded log and a real engine, killed again and again at seeded points: between the note and the first
 * insert, between tables, between insert and commit, with and without the effect of the call at which they die. What stands in the
 * tables at the end, merged or counted, and in the rollups behind them, is what an undisturbed run leaves.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControlView } from "@assay/control/follow";
import { createMetrics } from "@assay/runtime/metrics";
import { allTopics, topics } from "@assay/schemas/topics";
import type { Store } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log, NewRecord } from "@assay/stream/log";
import { runStage } from "@assay/stream/run-stage";
import type { RunningStage, StageLimits } from "@assay/stream/stage";
import { TemporaryEngines } from "../../../packages/store/test/temporary-engine";
import { Crash, Faults, faultyLog } from "../../../packages/stream/test/faults";
import { blockSink } from "../src/block-sink";
import { evaluateApplicationWindows } from "../src/evaluate-application-windows";
import { evaluateHostWindows } from "../src/evaluate-host-windows";
import { evaluateInventory } from "../src/evaluate-inventory";
import { type EvaluatorMetrics, evaluatorMetrics } from "../src/metrics";
import {
  applicationHost,
  applicationWindow,
  codec,
  flow,
  listener,
  minute,
  process as ran,
  second,
  section,
  seeded,
  t0,
  window,
} from "./given";
import { inForce, plain, plainEngine, ruleSet } from "./plain-engine";

const engines = new TemporaryEngines();
const service_metrics = createMetrics("evaluator");
let metrics: EvaluatorMetrics;
let store: Store;
let undisturbed: unknown;

beforeAll(async () => {
  metrics = evaluatorMetrics(service_metrics);
  store = engines.connect(await engines.start());
  await migrate(store);
  undisturbed = await run("undisturbed", undefined);
}, 60_000);
afterAll(async () => {
  service_metrics.stop();
  await engines.endAll();
});

test("the undisturbed run writes something of everything", () => {
  const tables = undisturbed as Record<string, unknown[]>;
  for (const [table, rows] of Object.entries(tables)) expect([table, rows.length > 0]).toEqual([table, true]);
  const statuses = new Set((tables.findings as { status: string }[]).map((f) => f.status));
  expect([...statuses].sort()).toEqual(["active", "closed", "resolved"]);
});

test.each(Array.from({ length: 5 }, (_, seed) => seed))(
  "killed again and again, the tables are the same (seed %i)",
  async (seed) => {
    const random = seeded(seed + 100);
    // The first crash falls at each of the early calls in turn, the others anywhere.
    const calls = [seed + 1, ...Array.from({ length: 14 }, () => 1 + Math.floor(random() * 14))];
    const crashes = calls.map((call) => new Faults(call, random() < 0.5));
    expect(await run(`seed-${seed}`, crashes)).toEqual(undisturbed);
    expect(crashes.filter((c) => c.crashed).length).toBeGreaterThan(8);
  },
  60_000,
);

const shell = plain("shell", { identity: ["User"] }, (f) => f.Image === "/bin/sh");
const http = plain("http", { category: "listener", scope: "state", identity: ["Port"], fields: [] }, (f) => f.Port === 8000);
const unused = plain(
  "unused",
  { category: "listener", scope: "assessment", identity: ["Port"], fields: [] },
  (f) => f.Used === false,
);
const login = plain("root-login", { category: "setting", service: "sshd", scope: "state" }, (f) => f.PermitRootLogin === "yes");
const telnet = plain("telnet", { category: "flow", identity: ["DestinationPort"] }, (f) => f.DestinationPort === 23);
const gone = plain("gone", { identity: ["User"] }, (f) => f.User === "u0");
const rule_sets = inForce(
  ruleSet("d1", t0, [shell, http, unused, login, telnet, gone]),
  ruleSet("d2", t0 + 200 * second, [shell, http, unused, login, telnet]),
);
const control = { at: () => [], versionAt: () => undefined } as unknown as ControlView;

const limits: StageLimits = {
  batch_records_max: 20,
  flush_outputs_max: 100,
  flush_wait_ms: 20,
  checkpoint_wait_ms: 50,
  tick_wait_ms: 1_000,
  slice_ms: 8,
};

/** Evaluates all of the input, dying as told, and returns what the tables hold then. */
async function run(name: string, crashes: readonly Faults[] | undefined): Promise<unknown> {
  for (const table of tables) await store.command(`TRUNCATE TABLE assay.${table}`);
  const directory = mkdtempSync(join(tmpdir(), "assay-evaluator-"));
  try {
    await withLog(directory, async (log) => {
      await log.ensureTopics(allTopics);
      await log.append(input());
    });
    for (const faults of [...(crashes ?? []), undefined]) await withLog(directory, (log) => evaluate(name, log, faults));
    return await contents();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A life of its own each time: what a dead one left open goes with it. */
async function withLog(directory: string, work: (log: Log) => Promise<void>): Promise<void> {
  const log = await openEmbeddedLog({ directory, partitions: 2 });
  try {
    await work(log);
  } finally {
    await log.close();
  }
}

/** Runs the stages until all is evaluated, or they are dead. */
async function evaluate(name: string, log: Log, faults: Faults | undefined): Promise<void> {
  const seen = faults ? faultyLog(log, faults, () => undefined) : log;
  const insertBlock: Store["insertBlock"] = (block) =>
    faults ? faults.around(() => store.insertBlock(block)) : store.insertBlock(block);
  const parts = { codec, engine: plainEngine, rule_sets };
  const around = {
    sink: blockSink({ store: { insertBlock }, log: seen, codec, metrics }),
    limits,
    prepare: async () => undefined,
  };
  const surroundings = { log: seen, codec, now: Date.now, logger: { info: () => undefined, warn: () => undefined } };
  // A name of its own for each run: tokens of the run before are still known to the tables.
  const own = <S extends { readonly name: string }>(stage: S): S => ({ ...stage, name: `${name}-${stage.name}` });
  const host_windows = own(evaluateHostWindows({ ...parts, state_refresh_ms: minute }, around));
  const inventory = own(evaluateInventory({ ...parts, control }, around));
  const application_windows = own(evaluateApplicationWindows(parts, around));
  const stages: Running[] = [
    { input: host_windows.input, running: runStage(host_windows, surroundings) },
    { input: inventory.input, running: runStage(inventory, surroundings) },
    { input: application_windows.input, running: runStage(application_windows, surroundings) },
  ];
  const running = stages.map((stage) => stage.running);
  const died = Promise.all(running.map((stage) => stage.ended)).then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof Crash)) throw error;
    },
  );
  await Promise.race([died, evaluated(log, stages, faults)]);
  const stopped = await Promise.allSettled(running.map((stage) => stage.stop()));
  for (const result of stopped) if (result.status === "rejected" && !(result.reason instanceof Crash)) throw result.reason;
}

interface Running {
  readonly input: string;
  readonly running: RunningStage;
}

async function evaluated(log: Log, stages: readonly Running[], faults: Faults | undefined): Promise<void> {
  const ends = new Map<string, number>();
  for (const { input: topic } of stages) {
    for (const partition of [0, 1]) ends.set(`${topic}/${partition}`, (await log.bounds(topic, partition)).end);
  }
  const whole = () =>
    stages.every(({ input: topic, running }) => {
      const committed = new Map(running.status().map((p) => [`${topic}/${p.partition}`, p.committed]));
      return [0, 1].map((n) => `${topic}/${n}`).every((p) => (committed.get(p) ?? 0) >= (ends.get(p) ?? 0));
    });
  while (!faults?.crashed && !whole()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function input(): readonly NewRecord[] {
  const random = seeded(1);
  const records: NewRecord[] = [];
  const hosts = ["host-a", "host-b", "host-c", "host-d", "host-e"];
  for (let n = 0; n < 30; n++) {
    for (const host_id of hosts) {
      const assessments =
        n < 24 ? [{ assessment_id: "as", application_id: "shop", begins_at: t0, ends_at: t0 + 240 * second }] : [];
      const at = t0 + n * 10 * second + 3;
      const part = window(n, {
        host_id,
        seq_to: 2 * n + 1,
        assessments,
        processes: random() < 0.3 ? [ran(at, { image: "/bin/sh", user: `u${Math.floor(random() * 3)}` })] : [],
        listeners: n % 9 < 7 ? [listener(at, { last_used_at: host_id === "host-a" ? at : 0 })] : [],
      });
      const late = {
        ...part,
        closed_by: "supplement" as const,
        seq_to: 2 * n + 2,
        processes: [ran(at + 1, { image: "/bin/sh" })],
      };
      const parts = random() < 0.2 ? [part, late] : [part];
      if (random() < 0.2) parts.push(part);
      for (const value of parts) {
        records.push({
          topic: topics.hostWindows.name,
          key: host_id,
          value: codec.encode("HostWindow", value),
          timestamp: at + 10_000,
        });
      }
    }
    for (const application_id of ["shop", "bank"]) {
      for (const revision of random() < 0.3 ? [1, 2, 2] : [1]) {
        const flows = n % 3 === 0 ? [flow(t0 + n * 10_000 + 5, { count: revision * 2 })] : [];
        const value = applicationWindow(n, {
          application_id,
          revision,
          late: revision > 1,
          flows,
          hosts: [applicationHost("host-a", n)],
        });
        const wire = codec.encode("ApplicationWindow", value);
        records.push({
          topic: topics.applicationWindows.name,
          key: application_id,
          value: wire,
          timestamp: value.window_end + revision,
        });
      }
    }
  }
  for (let n = 0; n < 4; n++) {
    for (const host_id of hosts) {
      const settings = { settings: { PermitRootLogin: (n + hosts.indexOf(host_id)) % 2 === 0 ? "yes" : "no" }, sources: {} };
      const whole = section(n, "sshd", settings, { host_id });
      const half = Math.floor(whole.content.length / 2);
      for (const [chunk, content] of [whole.content.subarray(0, half), whole.content.subarray(half)].entries()) {
        const value = codec.encode("InventorySection", { ...whole, chunk, chunks: 2, content });
        const key = `${host_id}/sshd/${n}/${chunk}`; // as before compaction
        records.push({ topic: topics.inventory.name, key, partition_key: host_id, value, timestamp: whole.collected_at });
      }
    }
  }
  return records;
}

const tables = [
  "rules",
  "findings",
  "finding_activity",
  "finding_activity_hourly",
  "outcomes",
  "coverage",
  "coverage_hourly",
  "inventory_sections",
] as const;

async function contents(): Promise<unknown> {
  const rows: Record<string, unknown[]> = {};
  for (const table of tables) {
    const merged = ["finding_activity", "outcomes", "coverage"].includes(table) ? "" : "FINAL";
    rows[table] = await store.query(`SELECT * FROM assay.${table} ${merged} ORDER BY toString(tuple(*))`);
  }
  return rows;
}
