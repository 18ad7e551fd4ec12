import { createMetrics, type ServiceMetrics } from "@assay/runtime/metrics";
import type { InsertBlock } from "@assay/store/client";
import { StoreFullError } from "@assay/store/retry";
import { LogFullError, type LogRecord, type NewRecord } from "@assay/stream/log";
import type { Block } from "@assay/stream/stage";
import { blockSink, insert_rows_max } from "../src/block-sink";
import { evaluateHostWindows } from "../src/evaluate-host-windows";
import { type EvaluatorMetrics, evaluatorMetrics } from "../src/metrics";
import { type Output, row } from "../src/outputs";
import { codec, process, Steps, t0, window } from "./given";
import { inForce, plain, plainEngine, ruleSet } from "./plain-engine";

let metrics: ServiceMetrics;
let counted: EvaluatorMetrics;
beforeEach(() => {
  metrics = createMetrics("evaluator");
  counted = evaluatorMetrics(metrics);
});
afterEach(() => metrics.stop());

/** No other member has the partition. */
const ours = async (): Promise<void> => undefined;

/** progress: what stands on that topic already. */
function given(
  append: (records: readonly NewRecord[]) => Promise<void> = async () => undefined,
  progress: readonly Pick<LogRecord, "key" | "value" | "timestamp">[] = [],
) {
  const calls: string[] = [];
  const inserts: InsertBlock[] = [];
  const records: NewRecord[] = [];
  const reads: number[] = [];
  const real = blockSink({
    store: {
      async insertBlock(insert) {
        calls.push(insert.table);
        inserts.push(insert);
      },
    },
    log: {
      async append(some) {
        await append(some);
        calls.push(...some.map((r) => r.topic));
        records.push(...some);
        return [];
      },
      bounds: async () => ({ earliest: 0, end: progress.length }),
      read: async (topic, partition, offset) => {
        reads.push(offset);
        return progress.slice(offset).map((value, n) => ({ ...value, topic, partition, offset: offset + n }));
      },
    },
    codec,
    metrics: counted,
  });
  const sink = { ...real, write: (of: Block<Output>, confirm = ours) => real.write(of, confirm) };
  return { sink, calls, inserts, records, reads };
}

function block(outputs: readonly Output[], over: Partial<Block<Output>> = {}): Block<Output> {
  return { stage: "evaluate-host-windows", partition: 2, generation: 1, from: 10, to: 12, origin: t0, outputs, ...over };
}

function someOutputs(): readonly Output[] {
  const shell = plain("shell", { identity: ["User"] }, (f) => f.Image === "/bin/sh");
  const around = {
    sink: given().sink,
    limits: { batch_records_max: 1, flush_outputs_max: 1, flush_wait_ms: 1, checkpoint_wait_ms: 1, tick_wait_ms: 1, slice_ms: 1 },
    prepare: async () => undefined,
  };
  const rule_sets = inForce(ruleSet("d1", t0, [shell]));
  const host = new Steps(evaluateHostWindows({ codec, engine: plainEngine, rule_sets, state_refresh_ms: 0 }, around));
  const sh = (n: number, user: string) => process(t0 + n * 10_000 + 5, { image: "/bin/sh", user });
  host.apply("HostWindow", window(0, { processes: [sh(0, "zoe"), sh(0, "amy")] }), t0);
  host.apply("HostWindow", window(1, { processes: [sh(1, "zoe")] }), t0);
  host.apply("HostWindow", window(0, { host_id: "host-0" }), t0);
  return host.outputs;
}

test("findings come first, then the other tables, then the log", async () => {
  const { sink, calls } = given();
  await sink.write(block(someOutputs()));
  expect(calls).toEqual([
    "assay.findings",
    "assay.finding_activity",
    "assay.outcomes",
    "assay.coverage",
    "assay.rules",
    "assay.findings",
    "assay.findings",
    "assay.progress",
  ]);
});

test("rows are sorted, and of a finding only the last row is inserted", async () => {
  const { sink, inserts } = given();
  await sink.write(block(someOutputs()));
  const findings = inserts.find((i) => i.table === "assay.findings");
  const at = (name: string) => findings?.columns.indexOf(name) ?? -1;
  expect(findings?.rows.map((r) => [r[at("identity")], r[at("occurrences")]])).toEqual([
    [{ User: "amy" }, 1],
    [{ User: "zoe" }, 2],
  ]);
  expect(inserts.find((i) => i.table === "assay.coverage")?.rows.map((r) => r[0])).toEqual(["host-0", "host-a", "host-a"]);
});

test("a block has the same tokens each time, whatever the order of its rows, and another block has others", async () => {
  const tokens = async (given_block: Block<Output>) => {
    const { sink, inserts } = given();
    await sink.write(given_block);
    return inserts.map((i) => [i.table, i.token, JSON.stringify(i.rows)]);
  };
  const outputs = someOutputs();
  const rows_reversed = [
    ...outputs.filter((o) => o.kind !== "row"),
    ...outputs.filter((o) => o.kind === "row" && o.table !== "findings").reverse(),
  ];
  const once = await tokens(block(outputs));
  expect(await tokens(block(outputs))).toEqual(once);
  const others = await tokens(block([...rows_reversed, ...outputs.filter((o) => o.kind === "row" && o.table === "findings")]));
  expect(others).toEqual(once);
  const all = [once];
  for (const over of [{ partition: 3 }, { from: 9 }, { to: 13 }, { stage: "evaluate-inventory" }])
    all.push(await tokens(block(outputs, over)));
  // A log that was begun anew has the same offsets, and other timestamps.
  all.push(await tokens(block(outputs, { origin: t0 + 1 })));
  const distinct = new Set(all.flat().map(([, token]) => token));
  expect(distinct.size).toBe(all.flat().length);
});

test("a block whose first record was compacted away before it is built again has the token that it had", async () => {
  const token = async (over: Partial<Block<Output>>, outputs: readonly Output[]) => {
    const { sink, inserts } = given();
    await sink.write(block(outputs, over));
    return inserts[0]?.token;
  };
  const of = (timestamp: number): Output[] => [
    { kind: "evaluated", subject: "h", through: t0, timestamp, received_through: 0 },
    ...someOutputs().filter((o) => o.kind === "row"),
  ];
  expect(await token({}, of(t0 + 9))).toBe(await token({}, of(t0 + 5)));
  // In a note of an older release there is no origin: it took that of the first output.
  const older = { origin: undefined };
  expect(await token(older, of(t0 + 5))).toBe(await token({ origin: t0 + 5 }, of(t0 + 9)));
});

test("a write ends before the next insert, and before the log, where another member has the partition", async () => {
  for (const steps of [0, 1, 5]) {
    let confirmed = 0;
    const { sink, calls } = given();
    const confirm = async () => {
      if (confirmed++ === steps) throw new Error("fenced");
    };
    await expect(sink.write(block(someOutputs()), confirm)).rejects.toThrow("fenced");
    expect(calls.length).toBe(steps);
  }
});

test("what was told before is read once while the partition stays here, whatever lies between the blocks, and again after it", async () => {
  const { sink, reads } = given();
  await sink.write(block(someOutputs()));
  await sink.write(block(someOutputs(), { from: 20, to: 30 }));
  expect(reads).toEqual([0]);
  await sink.write(block(someOutputs(), { from: 30, to: 40, generation: 3 }));
  expect(reads).toEqual([0, 0]);
});

test("more rows of a table than the limit are several inserts with tokens of their own", async () => {
  const many: Output[] = [{ kind: "evaluated", subject: "h", through: t0, timestamp: t0, received_through: t0 }];
  for (let i = 0; i <= insert_rows_max; i++) {
    const of = { rule_id: `r${i}`, package: "p", host_id: "h", application_id: "", reason: "", as_of: t0, period_start: null };
    many.push(row("outcomes", { ...of, outcome: "clear", late: 0, ruleset: "d" }));
  }
  const { sink, inserts } = given();
  await sink.write(block(many));
  expect(inserts.map((i) => i.rows.length)).toEqual([insert_rows_max, 1]);
  expect(new Set(inserts.map((i) => i.token)).size).toBe(2);
});

test("progress tells each host's last event time, and nothing is written of nothing", async () => {
  const { sink, calls, records } = given();
  await sink.write(block([]));
  expect(calls).toEqual([]);
  await sink.write(block(someOutputs()));
  const progress = records.find((r) => r.topic === "assay.progress");
  expect(progress?.key).toBe("evaluate-host-windows/2");
  expect(codec.decode(progress?.value ?? Buffer.alloc(0))).toMatchObject({
    value: { partition: 2, position: 12, hosts: { "host-a": t0 + 20_000, "host-0": t0 + 10_000 } },
  });
});

test("after a restart progress still tells of hosts that have fallen silent, and of none less than before", async () => {
  const told = (stage: string, hosts: Record<string, number>) => ({
    key: Buffer.from(`${stage}/2`),
    value: codec.encode("Progress", { stage, partition: 2, position: 10, at: 1, hosts }),
    timestamp: 1,
  });
  const before = [
    told("evaluate-host-windows", { "host-a": t0 }),
    told("evaluate-host-windows", { "host-a": t0 + 5_000, "host-0": t0 + 90_000, gone: t0 + 7_000 }),
    told("evaluate-inventory", { other: t0 }),
  ];
  const { sink, records } = given(undefined, before);
  await sink.write(block(someOutputs()));
  const progress = records.find((r) => r.topic === "assay.progress");
  expect(codec.decode(progress?.value ?? Buffer.alloc(0))).toMatchObject({
    value: { hosts: { "host-a": t0 + 20_000, "host-0": t0 + 90_000, gone: t0 + 7_000 } },
  });
});

test("a full log is waited for", async () => {
  let full = 1;
  const { sink, calls } = given(async () => {
    if (full-- > 0) throw new LogFullError("full");
  });
  await sink.write(block(someOutputs()));
  expect(calls).toContain("assay.progress");
});

test("a full disk of the store is told as a full log, for which the stage waits", async () => {
  const full = { insertBlock: () => Promise.reject(new StoreFullError("no room")) };
  const log = { append: async () => [], bounds: async () => ({ earliest: 0, end: 0 }), read: async () => [] };
  const sink = blockSink({ store: full, log, codec, metrics: counted });
  await expect(sink.write(block(someOutputs()), ours)).rejects.toBeInstanceOf(LogFullError);
});

test("metrics count what became durable", async () => {
  const { sink } = given();
  await sink.write(block(someOutputs()));
  const text = await metrics.registry.metrics();
  expect(text).toContain('assay_evaluator_evaluated_total{stage="evaluate-host-windows"} 3');
  expect(text).toContain('assay_evaluator_finding_changes_total{severity="medium",change="opened"} 2');
  expect(text).toContain('assay_evaluator_rows_total{table="coverage"} 3');
  expect(text).toContain('assay_evaluator_outcomes_total{outcome="match"} 1');
});
