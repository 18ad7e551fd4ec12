import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log, LogRecord } from "@assay/stream/log";
import { groupOf, runStage } from "@assay/stream/run-stage";
import type { RunningStage } from "@assay/stream/stage";
import { countingStage, ExactSink, expectedRows, input, RepeatingSink, randomInput, seeded } from "./counting-stage";
import { Crash, Faults, faultyLog } from "./faults";
import { definition, text } from "./log-contract";

const partitions = 2;
const codec = new Codec(folderIds());
const quiet = { info: () => undefined, warn: () => undefined };

let directory: string;
let log: EmbeddedLog;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-stage-"));
  log = await openEmbeddedLog({ directory, partitions });
  await log.ensureTopics([definition(input), topics.checkpoints]);
});
afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

describe("a stage that crashes at each of its steps in turn and starts again", () => {
  const seeds = 120; // of each delivery

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
        const name = `counting-${seed}`;
        const topic = `${input}-${seed}`;
        await log.ensureTopics([definition(topic)]);
        await log.append(randomInput(random, partitions, 10 + Math.floor(random() * 30)).map((r) => ({ ...r, topic })));
        const limits = { batch_records_max: 1 + Math.floor(random() * 12), flush_outputs_max: 1 + Math.floor(random() * 12) };
        for (let call = 1; ; call++) {
          const faults = new Faults(call, random() < 0.5);
          const guarded = {
            exact: sink.exact,
            write: (block: Parameters<typeof sink.write>[0]) => faults.around(() => sink.write(block)),
          };
          const stage = { ...countingStage(guarded, limits), name, input: topic };
          if (await runToEnd(stage, faults)) break;
          crashes++;
          // More input on the way, so that what is gathered differs from run to run.
          if (call % 4 === 0) await log.append(randomInput(random, partitions, 3).map((r) => ({ ...r, topic })));
        }
        for (let partition = 0; partition < partitions; partition++) {
          const records = await log.read(topic, partition, 0, 1_000);
          expect({ seed, rows: sink.rows(partition) }).toEqual({ seed, rows: expectedRows(partition, records) });
        }
        repeats += sink.repeats;
      }
      expect(crashes).toBeGreaterThan(seeds * 5);
      expect(repeats).toBeGreaterThan(seeds / 4);
    },
    120_000,
  );

  /** True when it got through all that is in the log before the fault struck. */
  async function runToEnd(stage: ReturnType<typeof countingStage>, faults: Faults): Promise<boolean> {
    let running: RunningStage | undefined;
    const stopAtEnd = () => {
      hasReadAll(stage.name, stage.input).then((all) => {
        if (all) running?.stop().catch(() => undefined); // awaited below
      });
    };
    running = runStage(stage, { log: faultyLog(log, faults, stopAtEnd), codec, logger: quiet, now: Date.now });
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

async function withinPatience(ended: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("not ended in 15 s")), 15_000);
  });
  await Promise.race([ended, overdue]).finally(() => clearTimeout(timer));
}

async function hasReadAll(stage: string, topic: string): Promise<boolean> {
  for (let partition = 0; partition < partitions; partition++) {
    const { end } = await log.bounds(topic, partition);
    const committed = await log.committed(groupOf(stage), topic, partition);
    const note = committed ? JSON.parse(committed.note) : {};
    if (end > 0 && (committed?.offset !== end || note.to !== undefined)) return false;
  }
  return true;
}

async function until(reached: () => boolean | Promise<boolean>, running: RunningStage): Promise<void> {
  const deadline = performance.now() + 15_000;
  const failed = running.ended.then(() => undefined);
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error("not reached in 15 s");
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 5))]);
  }
}

function run(stage: ReturnType<typeof countingStage>, on: Log = log): RunningStage {
  return runStage(stage, { log: on, codec, logger: quiet, now: Date.now });
}

async function allRecords(): Promise<LogRecord[][]> {
  return Promise.all(Array.from({ length: partitions }, (_, p) => log.read(input, p, 0, 10_000)));
}
