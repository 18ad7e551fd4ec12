/** Stages on Kafka: whatever happens to members of the group, what they deliver is what one undisturbed run would. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { KafkaLog } from "@assay/stream/kafka-log";
import type { Log, LogRecord } from "@assay/stream/log";
import { groupOf, runStage } from "@assay/stream/run-stage";
import type { Block, RunningStage, Stage } from "@assay/stream/stage";
import {
  type Counts,
  countingStage,
  ExactSink,
  expectedRows,
  input,
  RepeatingSink,
  type Row,
  randomInput,
  seeded,
} from "../packages/stream/test/counting-stage";
import { Crash, Faults, faultyLog } from "../packages/stream/test/faults";
import { definition, textOf } from "../packages/stream/test/log-contract";
import { TestLogs } from "./kafka-test-logs";
import { testBrokers } from "./test-servers";

const partitions = 4;
const output = "test.output";
const codec = new Codec(folderIds());
const sinks = [
  ["exact", () => new ExactSink()],
  ["at least once", () => new RepeatingSink()],
] as const;

let logs: TestLogs;
let log: KafkaLog;

beforeEach(async () => {
  logs = new TestLogs(testBrokers(), { rebalance_ms: 6_000 });
  log = await logs.open({ partitions });
  await log.ensureTopics([definition(input), definition(output), topics.checkpoints]);
});
afterEach(() => logs.dispose());

describe("a stage of several members on Kafka", () => {
  it.each(sinks)("delivers what one alone would while members come and go, by %s delivery", async (_name, makeSink) => {
    const random = seeded(11);
    const sink = makeSink();
    const members: RunningStage[] = [];
    for (let round = 0; round < 12; round++) {
      await log.append(randomInput(random, partitions, 60));
      if (members.length < 2 || random() < 0.4) members.push(run(countingStage(sink, { flush_outputs_max: 3 })));
      else await members.splice(Math.floor(random() * members.length), 1)[0]?.stop();
      await sleep(Math.floor(random() * 800));
    }
    await until(() => hasCommittedAll("counting"), members);
    for (const member of members) await member.stop();
    await expectRows(sink);
  });

  it.each(sinks)("delivers what one alone would after crashes at each of its steps, by %s delivery", async (_name, makeSink) => {
    const sink = makeSink();
    const random = seeded(3);
    await log.append(randomInput(random, partitions, 120));
    let crashes = 0;
    for (let call = 1; ; call += 1 + Math.floor(random() * 3)) {
      const faults = new Faults(call, random() < 0.5);
      const guarded = { exact: sink.exact, write: (block: Block<Row>) => faults.around(() => sink.write(block)) };
      if (await runToEnd(countingStage(guarded), faults)) break;
      crashes++;
    }
    expect(crashes).toBeGreaterThan(5);
    await expectRows(sink);
  });

  it("goes on without a member whose work takes longer than the group waits; that member delivers no commit", async () => {
    const sink = new ExactSink();
    await log.append(randomInput(seeded(5), partitions, 80));
    const { promise: held_up, release } = gate();
    let entered = 0;
    let late: Block<Row> | undefined;
    const slow = run(
      countingStage({
        exact: true,
        async write(block) {
          if (++entered > 1) return sink.write(block);
          await held_up;
          late = block; // a store drops it by its token, though the partition has gone on
        },
      }),
    );
    await until(async () => entered === 1, [slow]);
    const other = run(countingStage(sink));
    await until(() => hasCommittedAll("counting"), [other]);
    release();
    await log.append(randomInput(seeded(6), partitions, 80));
    await until(() => hasCommittedAll("counting"), [slow, other]);
    await until(async () => slow.status().length + other.status().length === partitions, [slow, other]);
    for (const member of [slow, other]) await member.stop();
    await expectRows(sink);
    const same = [...sink.blocks.values()].find((b) => b.partition === late?.partition && b.from === late?.from);
    expect(late).toEqual({ ...same, generation: late?.generation });
  });

  it("hands a partition's work over in a rebalance to the same member where it can", async () => {
    await log.append(randomInput(seeded(9), partitions, 40));
    const first = run(countingStage(new ExactSink()));
    await until(async () => first.status().length === partitions, [first]);
    const second = run(countingStage(new ExactSink()));
    await until(async () => second.status().length === partitions / 2, [first, second]);
    await until(async () => first.status().length === partitions / 2, [first, second]);
    const held = first.status().map(({ partition }) => partition);
    const third = run(countingStage(new ExactSink()));
    await until(async () => third.status().length === 1, [first, second, third]);
    await until(async () => first.status().length > 0, [first, second, third]);
    for (const { partition } of first.status()) expect(held).toContain(partition);
    for (const member of [first, second, third]) await member.stop();
  });
});

describe("a stage whose group was deleted", () => {
  it.each(sinks)(
    "doesn't begin anew, and goes on from its checkpoints once the offsets are set by hand, by %s delivery",
    async (_name, makeSink) => {
      const sink = makeSink();
      const groupId = logs.prefix + groupOf("counting");
      await log.append(randomInput(seeded(13), partitions, 60));
      const before = run(countingStage(sink));
      await until(() => hasCommittedAll("counting"), [before]);
      await before.stop();
      await logs.administer((admin) => admin.deleteGroups([groupId]));
      await expect(run(countingStage(sink)).ended).rejects.toThrow("the commits of its group are gone");

      const offsets = Array.from({ length: partitions }, (_, partition) => ({ partition, offset: "0" }));
      await logs.administer((admin) => admin.setOffsets({ groupId, topic: logs.prefix + input, partitions: offsets }));
      await log.append(randomInput(seeded(14), partitions, 60));
      const after = run(countingStage(sink));
      await until(() => hasCommittedAll("counting"), [after]);
      await after.stop();
      await expectRows(sink);
      expect(sink.repeats).toBe(0);
    },
  );
});

describe("members that are killed", () => {
  it("in mid-batch and in a rebalance, leave what they hadn't committed to the others, who repeat the same", async () => {
    const random = seeded(17);
    const appended: Promise<unknown>[] = [];
    const children = [startMember(), startMember()];
    try {
      for (let round = 0; round < 4; round++) {
        for (let batch = 0; batch < 20; batch++) {
          appended.push(log.append(randomInput(random, partitions, 100)));
          await sleep(40);
        }
        children.push(startMember()); // a rebalance begins, and one of its members dies
        await sleep(Math.floor(random() * 700));
        await kill(children.splice(Math.floor(random() * 2), 1)[0]);
      }
      await Promise.all(appended);
      await until(() => hasCommittedAll("killed"), [], 90_000);
    } finally {
      for (const child of children) await kill(child);
    }
    for (let partition = 0; partition < partitions; partition++) {
      const counts = new Map<string, number>();
      const expected = (await readAll(log, input, partition)).map(({ offset, key }) => {
        const name = String(key);
        counts.set(name, (counts.get(name) ?? 0) + 1);
        return `${partition}/${offset} ${name} ${counts.get(name)}`;
      });
      const delivered = (await readAll(log, output, partition)).map(textOf);
      expect(new Set(delivered)).toEqual(new Set(expected)); // a repeat says the same, so the set is no larger
      expect(expected.length).toBeGreaterThan(1_000);
    }
  });

  function startMember(): ChildProcess {
    const { brokers, prefix: topic_prefix } = logs;
    const options = JSON.stringify({ brokers, topic_prefix, input, output });
    return spawn(process.execPath, [join(__dirname, "fixtures/counting-member.js"), options], {
      stdio: ["pipe", "ignore", "inherit"],
    });
  }

  async function kill(child: ChildProcess | undefined): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

function run(stage: Stage<Counts, Row>, of: Log = log): RunningStage {
  const logger = { info: () => undefined, warn: () => undefined };
  const running = runStage(stage, { log: of, codec, logger, now: Date.now });
  running.ended.catch(() => undefined); // seen by until, or by stop
  return running;
}

async function runToEnd(stage: Stage<Counts, Row>, faults: Faults): Promise<boolean> {
  const running = run(
    stage,
    faultyLog(log, faults, () => undefined),
  );
  try {
    await until(() => hasCommittedAll(stage.name), [running]);
    await running.stop();
    return true;
  } catch (error) {
    if (error instanceof Crash) return false;
    throw error;
  }
}

async function hasCommittedAll(stage: string): Promise<boolean> {
  for (let partition = 0; partition < partitions; partition++) {
    const { end } = await log.bounds(input, partition);
    if (((await log.committed(groupOf(stage), input, partition))?.offset ?? 0) < end) return false;
  }
  return true;
}

/** Fails when one of the members ends before. */
async function until(reached: () => Promise<boolean>, members: readonly RunningStage[], within_ms = 60_000): Promise<void> {
  const deadline = performance.now() + within_ms;
  const ended = Promise.race(members.map((member) => member.ended.then(() => Promise.reject(new Error("a member ended")))));
  ended.catch(() => undefined); // seen in the races below
  while (!(await (members.length > 0 ? Promise.race([reached(), ended]) : reached()))) {
    if (performance.now() > deadline) throw new Error(`not reached in ${within_ms} ms`);
    await sleep(20);
  }
}

async function expectRows(sink: ExactSink | RepeatingSink): Promise<void> {
  let rows = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const expected = expectedRows(partition, await readAll(log, input, partition));
    expect(sink.rows(partition)).toEqual(expected);
    rows += expected.length;
  }
  expect(rows).toBeGreaterThan(50);
}

async function readAll(of: Log, topic: string, partition: number): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  for (;;) {
    const records = await of.read(topic, partition, (all.at(-1)?.offset ?? -1) + 1, 1_000);
    if (records.length === 0) return all;
    all.push(...records);
  }
}

function gate(): { readonly promise: Promise<void>; readonly release: () => void } {
  let release: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { promise, release };
}
