/**
 * The loop of a stage: takes events of its source one by one, and does between them what is due. One thing at a time: while one
 * partition delivers, the others wait, and so does the source.
 *
 * A full log is waited for. It ends by stop(), or by the first error: a bug, or the world being down past the retries of log and sink.
 * What was in hand then is read again at the next start.
 */
import type { Codec } from "@assay/schemas/codec";
import { type Log, LogFullError, type SourceEvent } from "./log";
import type { RunningStage, Stage } from "./stage";
import { type Delivery, openPartition, type PartitionContext, type StagePartition } from "./stage-partition";
import { waitForRoom } from "./wait-for-room";

export interface StageSurroundings {
  readonly log: Log;
  readonly codec: Codec;
  readonly logger: StageLogger;
  /** Milliseconds since 1970, for tick. */
  readonly now: () => number;
}

export interface StageLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** The group that a stage reads as. */
export function groupOf(stage: string): string {
  return `assay-${stage}`;
}

export function runStage<State, Output>(stage: Stage<State, Output>, surroundings: StageSurroundings): RunningStage {
  const loop = new StageLoop(stage, surroundings);
  const ended = loop.run();
  return {
    ended,
    status: () => loop.status(),
    stop() {
      loop.stopping = true;
      return ended;
    },
  };
}

/** How long stop() may have to wait for the source. */
const wait_ms_max = 100;

class StageLoop<State, Output> {
  stopping = false;
  private readonly works = new Map<number, StagePartition<State, Output>>();
  private turn_began = performance.now();

  constructor(
    private readonly stage: Stage<State, Output>,
    private readonly surroundings: StageSurroundings,
  ) {}

  async run(): Promise<void> {
    const { name, input, limits } = this.stage;
    const { log, codec, logger } = this.surroundings;
    const { batch_records_max } = limits;
    const source = await log.source({ group: groupOf(name), topics: [input], from: "earliest", batch_records_max });
    try {
      const context = { stage: this.stage, log, codec, source, waitForRoom: this.waitForRoom.bind(this) };
      while (!this.stopping) {
        await this.handle(context, await source.next(this.waitMs()));
        await this.doWhatIsDue();
        await this.letOthersRun();
      }
      for (const work of this.works.values()) this.keepOrDrop(work, await work.flushInHand());
    } catch (error) {
      await source.close().catch((reason: unknown) => logger.warn({ stage: name, error: reason }, "leaving the group failed"));
      if (!this.stopping || !(error instanceof LogFullError)) throw error;
      logger.warn({ stage: name, error }, "the log has no room for the work in hand; the next start does it again");
      return;
    }
    await source.close();
  }

  status() {
    return [...this.works.values()].map((work) => work.status());
  }

  private async handle(context: PartitionContext<State, Output>, event: SourceEvent): Promise<void> {
    const { stage, surroundings } = this;
    if (event.kind === "assigned") {
      const work = await openPartition(context, event);
      this.works.set(event.partition, work);
      const { position } = work.status();
      surroundings.logger.info(
        { stage: stage.name, partition: event.partition, generation: event.generation, position },
        "partition assigned",
      );
    } else if (event.kind === "revoked") {
      this.works.delete(event.partition);
      surroundings.logger.info(
        { stage: stage.name, partition: event.partition, generation: event.generation },
        "partition revoked",
      );
    } else if (event.kind === "records") {
      const work = this.works.get(event.partition);
      if (!work) return; // fenced before it was revoked
      await stage.prepare?.();
      this.keepOrDrop(work, await work.take(event.records, event.end, () => this.letOthersRun()));
    }
  }

  private async doWhatIsDue(): Promise<void> {
    for (const work of [...this.works.values()]) {
      const delivery = await work.flushIfDue(performance.now());
      this.keepOrDrop(work, delivery);
      if (delivery === "delivered") await work.tickIfDue(performance.now(), this.surroundings.now());
    }
  }

  private keepOrDrop(work: StagePartition<State, Output>, delivery: Delivery): void {
    if (delivery === "delivered") return;
    this.works.delete(work.partition);
    const { partition, generation } = work;
    this.surroundings.logger.info({ stage: this.stage.name, partition, generation }, "partition fenced");
  }

  private waitForRoom<T>(work: () => Promise<T>): Promise<T> {
    const { logger } = this.surroundings;
    return waitForRoom(work, {
      stopping: () => this.stopping,
      onFull: (error) => logger.warn({ stage: this.stage.name, error }, "the log is full; the stage waits for room"),
    });
  }

  private waitMs(): number {
    const due_at = Math.min(...[...this.works.values()].map((work) => work.dueAt()));
    return Math.max(0, Math.min(wait_ms_max, due_at - performance.now()));
  }

  /** Turns the event loop once the slice is used up; the clock is read for each record. */
  private letOthersRun(): Promise<void> | undefined {
    if (performance.now() - this.turn_began < this.stage.limits.slice_ms) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        this.turn_began = performance.now();
        resolve();
      });
    });
  }
}
