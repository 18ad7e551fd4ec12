import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";
import { type Log, LogFullError, type NewRecord, type Source, type SourceEvent, type SourceOptions } from "@assay/stream/log";
import { groupOf, runStage } from "@assay/stream/run-stage";
import type { Block, RunningStage, Sink, Stage } from "@assay/stream/stage";
import { confirm_wait_ms } from "@assay/stream/stage-partition";
import {
  type Counts,
  countingStage,
  countsForm,
  ExactSink,
  expectedRows,
  input,
  RepeatingSink,
  type Row,
  randomInput,
  reduceCounts,
  seeded,
} from "./counting-stage";
import { Crash, Faults, faultyLog } from "./faults";
import { definition, text, textOf } from "./log-contract";

const partitions = 2;
const codec = new Codec(folderIds());
const quiet = { info: () => undefined, warn: () => undefined };

let directory: string;
let log: EmbeddedLog;

beforeEach(open);
afterEach(close);

async function open(): Promise<void> {
  directory = mkdtempSync(join(tmpdir(), "assay-stage-"));
  log = await openEmbeddedLog({ directory, partitions });
  await log.ensureTopics([definition(input), topics.checkpoints]);
}

async function close(): Promise<void> {
  await log.close();
  rmSync(directory, { recursive: true });
}

describe("a stage that crashes at each of its steps in turn and starts again", () => {
  const seeds = 100; // of each delivery

  it.each([
    ["exact", () => new ExactSink()],
    ["at least once", () => new RepeatingSink()],
  ])(
    "delivers what an undisturbed run would, by %s delivery",
    async (_name, makeSink) => {
      let crashes = 0;
      let repeats = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const sink = makeSink();
        const random = seeded(seed);
        await log.append(randomInput(random, partitions, 10 + Math.floor(random() * 30)));
        const limits = { batch_records_max: 1 + Math.floor(random() * 12), flush_outputs_max: 1 + Math.floor(random() * 12) };
        for (let call = 1; ; call++) {
          const faults = new Faults(call, random() < 0.5);
          const guarded = { exact: sink.exact, write: (block: Block<Row>) => faults.around(() => sink.write(block)) };
          if (await runToEnd(countingStage(guarded, limits), faults)) break;
          crashes++;
          // More input on the way, so that what is gathered differs from run to run.
          if (call % 4 === 0) await log.append(randomInput(random, partitions, 3));
        }
        for (let partition = 0; partition < partitions; partition++) {
          expect({ seed, rows: sink.rows(partition) }).toEqual({ seed, rows: await expected(partition) });
        }
        repeats += sink.repeats;
        await close();
        await open();
      }
      expect(crashes).toBeGreaterThan(seeds * 5);
      expect(repeats).toBeGreaterThan(seeds / 4);
    },
    120_000,
  );

  /** True when it got through all that is in the log before the fault struck. */
  async function runToEnd(stage: Stage<Counts, Row>, faults: Faults): Promise<boolean> {
    let running: RunningStage | undefined;
    const stopAtEnd = () => {
      hasReadAll(stage.name).then((all) => {
        if (all) running?.stop().catch(() => undefined); // awaited below
      });
    };
    running = run(stage, faultyLog(log, faults, stopAtEnd));
    stopAtEnd();
    try {
      await withinPatience(running.ended);
      return true;
    } catch (error) {
      if (error instanceof Crash) return false;
      throw error;
    }
  }
});

describe("a stage of several members", () => {
  it.each([
    ["exact", () => new ExactSink()],
    ["at least once", () => new RepeatingSink()],
  ])("delivers what one alone would while members come and go, by %s delivery", async (_name, makeSink) => {
    const random = seeded(7);
    const sink = makeSink();
    const members: RunningStage[] = [];
    for (let round = 0; round < 12; round++) {
      await log.append(randomInput(random, partitions, 40));
      if (members.length < 2 || random() < 0.4) members.push(run(countingStage(sink, { flush_outputs_max: 3 })));
      else await members.splice(Math.floor(random() * members.length), 1)[0]?.stop();
      await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 25)));
    }
    await until(() => hasReadAll("counting"), members);
    for (const member of members) await member.stop();
    for (let partition = 0; partition < partitions; partition++) {
      expect(sink.rows(partition)).toEqual(await expected(partition));
    }
  });

  it("drops a partition that it lost while it delivered, and lets the new owner deliver the very same block", async () => {
    const sink = new ExactSink();
    await log.append(randomInput(seeded(3), partitions, 60));
    const { promise: held_up, release } = gate();
    const entered: Block<Row>[] = [];
    const first = run(
      countingStage({
        exact: true,
        async write(block) {
          entered.push(block);
          if (entered.length === 1) await held_up;
          await sink.write(block);
        },
      }),
    );
    await until(() => entered.length === 1, [first]);
    const second = run(countingStage(sink));
    await until(() => sink.blocks.size > 0, [first, second]);
    release();
    await until(() => hasReadAll("counting"), [first, second]);
    await first.stop();
    await second.stop();
    for (let partition = 0; partition < partitions; partition++) {
      expect(sink.rows(partition)).toEqual(await expected(partition));
    }
  });
});

describe("a stage", () => {
  const never_ms = 3_600_000;
  const failing: Sink<Row> = {
    exact: true,
    write: () => Promise.reject(new Crash("the sink is down")),
  };

  it("delivers what it has in hand when it is stopped, and goes on from there without a repeat", async () => {
    const sink = new RepeatingSink();
    const patient = { flush_wait_ms: never_ms, checkpoint_wait_ms: never_ms };
    for (let round = 0; round < 3; round++) {
      await log.append(randomInput(seeded(round), partitions, 30));
      const running = run(countingStage(sink, patient));
      await until(
        async () => running.status().length === partitions && running.status().every((s) => s.caught_up && s.end > 0),
        [running],
      );
      expect(running.status().some((s) => s.committed < s.position)).toBe(true);
      await running.stop();
      expect(await hasReadAll("counting")).toBe(true);
    }
    expect(sink.repeats).toBe(0);
    for (let partition = 0; partition < partitions; partition++) expect(sink.rows(partition)).toEqual(await expected(partition));
  });

  it("flushes a block when it holds enough outputs, or has waited long enough", async () => {
    const sink = new ExactSink();
    const running = run(countingStage(sink, { flush_outputs_max: 4, flush_wait_ms: 150 }));
    const record = (value: number) => ({ topic: input, partition: 0, key: "k", value: Buffer.from(String(value)) });
    await log.append([record(2), record(2), record(1)]); // 2, 2 and 1 rows
    await until(() => sink.blocks.size === 1, [running]);
    expect([...sink.blocks.keys()]).toEqual(["counting 0 [0, 2)"]);
    await until(() => sink.blocks.size === 2, [running]);
    expect([...sink.blocks.keys()][1]).toEqual("counting 0 [2, 3)");
    await running.stop();
  });

  it("delivers the very block that its note names first, whatever its limits are by then", async () => {
    await log.append(randomInput(seeded(2), 1, 30));
    await expect(
      run(countingStage(failing, { flush_outputs_max: 1_000, flush_wait_ms: 50, batch_records_max: 30 })).ended,
    ).rejects.toThrow(Crash);
    await log.append(randomInput(seeded(3), 1, 10));
    const sink = new ExactSink();
    const running = run(countingStage(sink, { flush_outputs_max: 1, flush_wait_ms: 0, batch_records_max: 1 }));
    await until(() => hasReadAll("counting"), [running]);
    await running.stop();
    expect([...sink.blocks.keys()][0]).toBe("counting 0 [0, 30)");
    expect(sink.blocks.size).toBeGreaterThan(3);
    expect(sink.rows(0)).toEqual(await expected(0));
  });

  it("keeps to that block's end also where compaction took its last record", async () => {
    const compact_input = { ...definition("test.compacted"), cleanup: "compact" as const, retention_ms: undefined };
    await log.ensureTopics([compact_input]);
    let timestamp = 0;
    const record = (key: string) => ({
      topic: compact_input.name,
      partition: 0,
      key,
      value: Buffer.from("1"),
      timestamp: ++timestamp,
    });
    await log.append([record("a"), record("b"), record("c")]);
    const stage = (sink: Sink<Row>) => ({ ...countingStage(sink, { flush_outputs_max: 3 }), input: compact_input.name });
    await expect(run(stage(failing)).ended).rejects.toThrow(Crash);
    await log.append([record("c"), record("a")]);
    const sink = new ExactSink();
    const running = run(stage(sink));
    await until(() => sink.blocks.size === 2, [running]);
    await running.stop();
    expect([...sink.blocks.keys()]).toEqual(["counting 0 [0, 3)", "counting 0 [3, 5)"]);
    expect([...sink.blocks.values()].map(({ origin }) => origin)).toEqual([1, 4]);
  });

  it("prepares before each batch", async () => {
    await log.append(randomInput(seeded(1), 1, 20));
    const seen: string[] = [];
    const stage = countingStage(new RepeatingSink(), { batch_records_max: 10 });
    const running = run({
      ...stage,
      prepare: async () => {
        seen.push("prepare");
      },
      reduce(state, record, outputs) {
        if (seen.at(-1) !== "reduce") seen.push("reduce");
        stage.reduce(state, record, outputs);
      },
    });
    await until(() => hasReadAll("counting"), [running]);
    await running.stop();
    expect(seen).toEqual(["prepare", "reduce", "prepare", "reduce"]);
  });

  it("ticks each partition once it is caught up, and appends what that brings about", async () => {
    await log.append(randomInput(seeded(1), 1, 25));
    const ticks: { partition: number; keys: number; now: number }[] = [];
    const running = runStage<Counts, Row>(
      {
        ...countingStage(new RepeatingSink(), { tick_wait_ms: 5, batch_records_max: 1 }),
        tick(state, now, partition) {
          ticks.push({ partition, keys: state.entries.size, now });
          return partition === 0 && ticks.filter((t) => t.partition === 0).length === 1
            ? [{ ...text(input, "ticked", "1"), partition: 0 }]
            : [];
        },
      },
      { log, codec, logger: quiet, now: () => 42 },
    );
    await until(() => ticks.filter((t) => t.partition === 0).length >= 3, [running]);
    await running.stop();
    const all = countsForm.empty(0);
    for (const record of await log.read(input, 0, 0, 25)) reduceCounts(all, record, []);
    expect(ticks.find((t) => t.partition === 0)).toEqual({ partition: 0, keys: all.entries.size, now: 42 });
    expect(ticks.some((t) => t.partition === 1)).toBe(true);
    expect((await log.read(input, 0, 25, 10)).map(textOf)).toEqual(["1"]);
  });

  it("keeps what a tick brings about until a full log has room for it, and goes on", async () => {
    await log.append(randomInput(seeded(1), 1, 25));
    let tries = 0;
    let ticks = 0;
    const full: Log = {
      ...faultyLog(log, new Faults(Number.POSITIVE_INFINITY, false), () => undefined),
      append: async (records) => {
        if (records.some((r) => r.key === "ticked") && ++tries < 3) throw new LogFullError("no room");
        return log.append(records);
      },
    };
    const running = runStage<Counts, Row>(
      {
        ...countingStage(new RepeatingSink(), { tick_wait_ms: 5 }),
        tick: (_, __, partition) => (partition === 0 && ++ticks === 1 ? [{ ...text(input, "ticked", "1"), partition }] : []),
      },
      { log: full, codec, logger: quiet, now: () => 42 },
    );
    const toldOf = async () => (await log.read(input, 0, 25, 10)).map(textOf);
    await until(async () => (await toldOf()).length > 0 && ticks > 4, [running]);
    await running.stop();
    expect(await toldOf()).toEqual(["1"]);
    expect(tries).toBe(3);
  });

  it.each([
    ["exact", () => new ExactSink()],
    ["at least once", () => new RepeatingSink()],
  ])(
    "waits for a full log with what it writes, by %s delivery, and delivers what an undisturbed run would",
    async (_, makeSink) => {
      await log.append(randomInput(seeded(2), partitions, 40));
      const sink = makeSink();
      let refusals = 0;
      /** The first two of each kind of write find no room. */
      const refusing = (): ((kind: string) => void) => {
        const tries = new Map<string, number>();
        return (kind) => {
          tries.set(kind, (tries.get(kind) ?? 0) + 1);
          if ((tries.get(kind) ?? 0) > 2) return;
          refusals++;
          throw new LogFullError("no room");
        };
      };
      const refuse = refusing();
      const full: Log = {
        ...faultyLog(log, new Faults(Number.POSITIVE_INFINITY, false), () => undefined),
        append: async (appended) => {
          refuse("checkpoint");
          return log.append(appended);
        },
        source: async (options) => {
          const source = await log.source(options);
          const commit = source.commit.bind(source);
          return Object.assign(source, {
            commit: async (...args: Parameters<typeof commit>) => {
              refuse("commit");
              return commit(...args);
            },
          });
        },
      };
      const write = sink.write.bind(sink);
      const patient = Object.assign(sink, {
        write: async (block: Block<Row>) => {
          refuse("block");
          return write(block);
        },
      });
      const running = runStage<Counts, Row>(countingStage(patient), { log: full, codec, logger: quiet, now: () => 42 });
      await until(
        async () => running.status().length === partitions && running.status().every((p) => p.committed === p.end),
        [running],
      );
      await running.stop();
      expect(refusals).toBe(6);
      for (let partition = 0; partition < partitions; partition++) {
        expect(sink.rows(partition)).toEqual(await expected(partition));
      }
    },
  );

  it("ends in order where a full log has no room for the work in hand", async () => {
    await log.append(randomInput(seeded(3), 1, 5));
    let tries = 0;
    const full = Object.assign(new RepeatingSink(), {
      write: async () => {
        tries++;
        throw new LogFullError("no room");
      },
    });
    const running = runStage<Counts, Row>(countingStage(full), { log, codec, logger: quiet, now: () => 42 });
    await until(async () => tries > 0, [running]);
    await running.stop();
    expect(await log.committed(groupOf("counting"), input, 0)).toBeUndefined();
  });

  it("lets the event loop turn while it reduces a long batch", async () => {
    await log.append(randomInput(seeded(1), 1, 200));
    const stage = countingStage(new RepeatingSink(), { batch_records_max: 200, slice_ms: 2 });
    let turns = 0;
    let reducing = false;
    const turn = setInterval(() => {
      if (reducing) turns++;
    }, 1);
    const running = run({
      ...stage,
      reduce(state, record, outputs) {
        reducing = record.offset < 199;
        for (const begun = performance.now(); performance.now() - begun < 0.5; ) stage.state.buckets;
        stage.reduce(state, record, outputs);
      },
    });
    await until(() => hasReadAll("counting"), [running]);
    clearInterval(turn);
    await running.stop();
    expect(turns).toBeGreaterThan(10);
  });

  it("fails when the log has dropped records that it had not read, and says how many", async () => {
    await log.append(randomInput(seeded(1), 1, 20));
    const first = run(countingStage(new RepeatingSink()));
    await until(() => hasReadAll("counting"), [first]);
    await first.stop();
    await expect(run(countingStage(new RepeatingSink()), assigning({ earliest: 27 })).ended).rejects.toThrow(
      /counting has read test.input, partition 0, up to offset 20, but the log begins at 27: 7 records were dropped.*retention_ms/,
    );
  });

  it.each([
    ["position", { offset: 27, note: '{"e":0}' }, 27],
    ["begun block's end", { offset: 3, note: '{"e":0,"to":21}' }, 21],
  ])("fails when its %s lies past the partition's end", async (_, committed, read_to) => {
    await log.append(at0(20));
    await expect(run(countingStage(new ExactSink()), assigning({ committed })).ended).rejects.toThrow(
      new RegExp(`read test.input, partition 0, up to offset ${read_to}, but the log ends at 20: the topic was made anew`),
    );
  });

  it("doesn't begin anew where its commits are gone, and goes on from its checkpoint once the offset is set by hand", async () => {
    await log.append(at0(20));
    const sink = new ExactSink();
    const first = run(countingStage(sink));
    await until(() => hasReadAll("counting"), [first]);
    await first.stop();
    await expect(run(countingStage(sink), assigning({ committed: undefined })).ended).rejects.toThrow(
      /committed nothing on test.input, partition 0, but there is its checkpoint \d+ of offset 20: .*retention.*operations.md/,
    );
    await log.append(at0(15));
    const second = run(countingStage(sink), assigning({ committed: { offset: 0, note: "" } }));
    await until(() => hasReadAll("counting"), [second]);
    await second.stop();
    expect(sink.rows(0)).toEqual(await expected(0));
  });

  it("skips what lies before an offset that was set by hand past its checkpoint", async () => {
    await log.append(at0(20));
    const sink = new ExactSink();
    const first = run(countingStage(sink));
    await until(() => hasReadAll("counting"), [first]);
    await first.stop();
    await log.append(at0(15));
    const second = run(countingStage(sink), assigning({ committed: { offset: 30, note: "" } }));
    await until(() => hasReadAll("counting"), [second]);
    await second.stop();
    const rows = sink.rows(0);
    expect(rows.filter(({ offset }) => offset >= 20 && offset < 30)).toEqual([]);
    expect(rows.filter(({ offset }) => offset < 20)).toEqual((await expected(0)).filter(({ offset }) => offset < 20));
    expect(rows.some(({ offset }) => offset >= 30)).toBe(true);
  });

  it("commits before its first checkpoint, so that a crash between that one and its commit isn't taken for lost commits", async () => {
    await log.append(at0(5));
    const commits: string[] = [];
    const running = run(
      countingStage(new RepeatingSink(), { checkpoint_wait_ms: 1 }),
      committing(async (note, commit) => {
        commits.push(note);
        return commit();
      }),
    );
    await until(() => hasReadAll("counting"), [running]);
    await running.stop();
    expect(JSON.parse(commits[0] ?? "")).toMatchObject({ e: 0 });
  });

  it("confirms before each attempt to write a block that it still has the partition, and leaves the block to the other where not", async () => {
    await log.append(at0(10));
    let writes = 0;
    const full: Sink<Row> = {
      exact: true,
      async write() {
        writes++;
        throw new LogFullError("no room");
      },
    };
    let commits = 0;
    const fencing = committing(async (_, commit) => (++commits > 2 ? "fenced" : commit()));
    const running = run(countingStage(full), fencing);
    await until(() => commits === 3, [running]);
    await until(() => running.status().every(({ partition }) => partition !== 0), [running]);
    await running.stop();
    expect(writes).toBe(2);
  });

  it("confirms within a write that takes its time, and not in one that doesn't", async () => {
    await log.append(at0(10));
    const now = performance.now.bind(performance);
    let passed_ms = 0;
    const clock = jest.spyOn(performance, "now").mockImplementation(() => now() + passed_ms);
    try {
      const steps: string[] = [];
      const slow: Sink<Row> = {
        exact: true,
        async write(_, confirm) {
          await confirm();
          steps.push("first step");
          passed_ms += confirm_wait_ms + 1;
          await confirm();
          steps.push("second step");
        },
      };
      const fencing = committing(async (_, commit) => {
        steps.push("commit");
        return steps.length > 2 ? "fenced" : commit();
      });
      const running = run(countingStage(slow), fencing);
      await until(() => steps.length === 3, [running]);
      await until(() => running.status().every(({ partition }) => partition !== 0), [running]);
      await running.stop();
      expect(steps).toEqual(["commit", "first step", "commit"]);
    } finally {
      clock.mockRestore();
    }
  });

  it("builds a block again that a note of an older release names", async () => {
    await log.append(at0(20));
    const sink = new ExactSink();
    const running = run(countingStage(sink), assigning({ committed: { offset: 0, note: '{"e":0,"to":7}' } }));
    await until(() => hasReadAll("counting"), [running]);
    await running.stop();
    const [first, second] = [...sink.blocks.values()];
    expect(first).toMatchObject({ from: 0, to: 7, origin: undefined });
    expect(second?.origin).toBe((await log.read(input, 0, 7, 1))[0]?.timestamp);
  });

  it("goes on with its other partitions while a tick waits for the bounds of one", async () => {
    await log.append(randomInput(seeded(1), partitions, 30));
    const ticks = [0, 0];
    const away: Log = Object.create(log, {
      bounds: {
        value: (topic: string, partition: number) =>
          topic === input && partition === 0 && ticks[0] === 1
            ? new Promise(() => undefined) // its broker doesn't answer
            : log.bounds(topic, partition),
      },
    });
    const stage = countingStage(new RepeatingSink(), { tick_wait_ms: 5 });
    const tick = (_: Counts, __: number, partition: number) => {
      ticks[partition] = (ticks[partition] ?? 0) + 1;
      return [];
    };
    const running = run({ ...stage, tick }, away);
    await until(() => (ticks[1] ?? 0) > 5 && ticks[0] === 1, [running]);
    await log.append(randomInput(seeded(2), partitions, 30));
    await until(() => hasReadAll("counting"), [running]);
    await running.stop();
    expect(ticks[0]).toBe(1);
  });

  it("ends with the error of a reducer that throws, and has committed nothing past it", async () => {
    await log.append(randomInput(seeded(1), 1, 20));
    const stage = countingStage(new RepeatingSink());
    const running = run({
      ...stage,
      reduce(state, record, outputs) {
        if (record.offset === 15) throw new Error("a bug");
        stage.reduce(state, record, outputs);
      },
    });
    await expect(running.ended).rejects.toThrow("a bug");
    expect((await log.committed(groupOf("counting"), input, 0))?.offset ?? 0).toBeLessThanOrEqual(15);
  });
});

function run(stage: Stage<Counts, Row>, on: Log = log): RunningStage {
  return runStage(stage, { log: on, codec, logger: quiet, now: Date.now });
}

function at0(count: number): NewRecord[] {
  return randomInput(seeded(count), 1, count);
}

/** The log, which changes what it says of each partition as it assigns it. */
function assigning(change: Partial<Extract<SourceEvent, { kind: "assigned" }>>): Log {
  return sourcing((source) => ({
    next: async (wait_ms) => {
      const event = await source.next(wait_ms);
      return event.kind === "assigned" && event.partition === 0 ? { ...event, ...change } : event;
    },
  }));
}

/** The log, with another answer to commits of partition 0. */
function committing(answer: (note: string, commit: () => ReturnType<Source["commit"]>) => ReturnType<Source["commit"]>): Log {
  return sourcing((source) => ({
    commit: (position, generation, note) => {
      const commit = () => source.commit(position, generation, note);
      return position.partition === 0 ? answer(note, commit) : commit();
    },
  }));
}

function sourcing(change: (source: Source) => Partial<Source>): Log {
  const open = async (options: SourceOptions) => {
    const source = await log.source(options);
    const changes = Object.entries(change(source)).map(([name, value]) => [name, { value }]);
    return Object.create(source, Object.fromEntries(changes));
  };
  return Object.create(log, { source: { value: open } });
}

function gate(): { readonly promise: Promise<void>; readonly release: () => void } {
  const opened = new EventEmitter();
  return { promise: once(opened, "open").then(() => undefined), release: () => opened.emit("open") };
}

async function expected(partition: number): Promise<Row[]> {
  return expectedRows(partition, await log.read(input, partition, 0, 10_000));
}

async function hasReadAll(stage: string): Promise<boolean> {
  for (let partition = 0; partition < partitions; partition++) {
    const { end } = await log.bounds(input, partition);
    const committed = await log.committed(groupOf(stage), input, partition);
    const note = committed ? JSON.parse(committed.note) : {};
    if (end > 0 && (committed?.offset !== end || note.to !== undefined)) return false;
  }
  return true;
}

const patience_ms = 15_000;

async function withinPatience(ended: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ended in ${patience_ms} ms`)), patience_ms);
  });
  await Promise.race([ended, overdue]).finally(() => clearTimeout(timer));
}

async function until(reached: () => boolean | Promise<boolean>, members: readonly RunningStage[]): Promise<void> {
  const deadline = performance.now() + patience_ms;
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error(`not reached in ${patience_ms} ms`);
    const pause = new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.race([pause, ...members.map((m) => m.ended.then(() => pause))]);
  }
}
