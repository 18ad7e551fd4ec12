/**
 * One partition's work in a stage, from its assignment to its revocation: state, the outputs in hand, and how they are delivered.
 *
 *   restored ──records──▶ gathering ──flush──▶ committed ──records──▶ gathering …
 *
 * At least once: outputs are written as they come; a checkpoint and a commit follow every checkpoint_wait_ms.
 * Exact: outputs gather. A flush names the block's end in the committed note, writes the block, checkpoints, commits. When the note that
 * came with the assignment names an end, that very block is gathered and written again before anything else.
 */
import type { Codec } from "@assay/schemas/codec";
import { type Checkpoint, type CheckpointOwner, restoreCheckpoint } from "./checkpoints";
import { type Log, LogFullError, type LogRecord, type NewRecord, type Source, type SourceEvent } from "./log";
import type { PartitionStatus, Stage } from "./stage";

export interface PartitionContext<State, Output> {
  readonly stage: Stage<State, Output>;
  readonly log: Log;
  readonly codec: Codec;
  readonly source: Source;
  /** Does it again while the log is full. It must bear that: an append, a commit, a block for the sink. */
  readonly waitForRoom: <T>(work: () => Promise<T>) => Promise<T>;
}

/** "fenced": another member has the partition; drop this. */
export type Delivery = "delivered" | "fenced";

/** Restores the state that the commit names. Throws where records that it still needs are gone. */
export async function openPartition<State, Output>(
  context: PartitionContext<State, Output>,
  assigned: Extract<SourceEvent, { kind: "assigned" }>,
): Promise<StagePartition<State, Output>> {
  const { stage, log, codec, source, waitForRoom } = context;
  const { partition, generation, committed, earliest } = assigned;
  const note = readNote(stage.name, committed?.note);
  const from = committed?.offset ?? earliest;
  if (from < earliest) {
    throw new Error(
      `stage ${stage.name} has read ${stage.input}, partition ${partition}, up to offset ${from}, but the log begins at ${earliest}: ` +
        `${earliest - from} records were dropped before the stage read them. Raise the topic's retention_ms so that it outlasts the ` +
        "time for which the stage may stand still",
    );
  }
  const waiting: CheckpointOwner<State>["log"] = {
    append: (records) => waitForRoom(() => log.append(records)),
    read: (topic, of, offset, max_records) => log.read(topic, of, offset, max_records),
    bounds: (topic, of) => log.bounds(topic, of),
  };
  const owner = { log: waiting, codec, stage: stage.name, form: stage.state, partition, generation };
  const { state, checkpoint } = await restoreCheckpoint(owner, note.e, note.at);
  source.seek(stage.input, partition, from);
  return new StagePartition(context, partition, generation, state, checkpoint, from, note.to);
}

/**
 * The committed note. e: epoch of the checkpoint (0: none yet); at: where its restore begins to read (left out by older releases: at the
 * start); to: end of the block that was being written.
 */
interface Note {
  readonly e: number;
  readonly at?: number;
  readonly to?: number;
}

export class StagePartition<State, Output> {
  private outputs: Output[] = [];
  /** Up to here all is in the state. */
  private position: number;
  /** Up to here the outputs are with the sink. */
  private written_to: number;
  private log_end: number;
  /** When the first record after the last flush was read. */
  private gathering_since: number | undefined;
  private tick_at: number;
  /** What ticks brought about and the log has no room for yet. */
  private ticked: NewRecord[] = [];

  constructor(
    private readonly context: PartitionContext<State, Output>,
    readonly partition: number,
    readonly generation: number,
    private readonly state: State,
    private readonly checkpoint: Checkpoint<State>,
    /** Committed. */
    private from: number,
    /** Set while a block that may have been written before is gathered again. */
    private rebuild_to: number | undefined,
  ) {
    this.position = from;
    this.written_to = from;
    this.log_end = rebuild_to ?? from;
    this.tick_at = performance.now() + context.stage.limits.tick_wait_ms;
  }

  /** Reduces records, flushing where a block is full. between is awaited after each record that it may follow. */
  async take(records: readonly LogRecord[], end: number, between: () => Promise<void> | undefined): Promise<Delivery> {
    const { stage } = this.context;
    this.log_end = end;
    for (const record of records) {
      if (record.offset < this.position) continue;
      if (this.rebuild_to !== undefined && record.offset >= this.rebuild_to) {
        if ((await this.flush(this.rebuild_to)) === "fenced") return "fenced";
      }
      this.gathering_since ??= performance.now();
      stage.reduce(this.state, record, this.outputs);
      this.position = record.offset + 1;
      if (stage.sink.exact && this.isBlockComplete() && (await this.flush()) === "fenced") return "fenced";
      const pause = between();
      if (pause) await pause;
    }
    if (!stage.sink.exact) await this.writeOutputs();
    return "delivered";
  }

  /** When flushIfDue or tick has something to do, on performance.now()'s clock. */
  dueAt(): number {
    const { limits, sink, tick } = this.context.stage;
    const tick_at = tick ? this.tick_at : Number.POSITIVE_INFINITY;
    if (this.gathering_since === undefined || this.rebuild_to !== undefined) return tick_at;
    const wait_ms = sink.exact && this.outputs.length > 0 ? limits.flush_wait_ms : limits.checkpoint_wait_ms;
    return Math.min(tick_at, this.gathering_since + wait_ms);
  }

  async flushIfDue(now: number): Promise<Delivery> {
    if (this.gathering_since === undefined || this.rebuild_to !== undefined) return "delivered";
    const { limits, sink } = this.context.stage;
    const wait_ms = sink.exact && this.outputs.length > 0 ? limits.flush_wait_ms : limits.checkpoint_wait_ms;
    return now < this.gathering_since + wait_ms ? "delivered" : this.flush();
  }

  /** What stop does: a block that is only half gathered again is left to the next start. */
  async flushInHand(): Promise<Delivery> {
    if (this.gathering_since === undefined || this.rebuild_to !== undefined) return "delivered";
    return this.flush();
  }

  async tickIfDue(now: number, time: number): Promise<void> {
    const { stage, log } = this.context;
    if (!stage.tick || now < this.tick_at) return;
    this.tick_at = now + stage.limits.tick_wait_ms;
    this.log_end = (await log.bounds(stage.input, this.partition)).end;
    if (!this.isCaughtUp()) return;
    this.ticked.push(...stage.tick(this.state, time, this.partition));
    if (this.ticked.length === 0) return;
    try {
      await log.append(this.ticked);
      this.ticked = [];
    } catch (error) {
      if (!(error instanceof LogFullError)) throw error; // else they wait for the next tick: what makes room must not end for them
    }
  }

  status(): PartitionStatus {
    const { partition, position, from, log_end } = this;
    return { partition, position, committed: from, end: log_end, caught_up: this.isCaughtUp() };
  }

  private isCaughtUp(): boolean {
    return this.rebuild_to === undefined && this.position >= this.log_end;
  }

  private isBlockComplete(): boolean {
    if (this.rebuild_to !== undefined) return this.position >= this.rebuild_to;
    return this.outputs.length >= this.context.stage.limits.flush_outputs_max;
  }

  private async flush(to = this.position): Promise<Delivery> {
    const { sink } = this.context.stage;
    if (sink.exact && this.outputs.length > 0 && this.rebuild_to === undefined) {
      if ((await this.commit(this.from, { e: this.checkpoint.epoch, at: this.checkpoint.scan_from, to })) === "fenced")
        return "fenced";
    }
    this.position = to;
    await this.writeOutputs();
    const e = await this.checkpoint.write(this.state, to);
    if ((await this.commit(to, { e, at: this.checkpoint.scan_from })) === "fenced") return "fenced";
    this.checkpoint.committed();
    this.from = to;
    this.rebuild_to = undefined;
    this.gathering_since = undefined;
    return "delivered";
  }

  private async writeOutputs(): Promise<void> {
    const { outputs, partition, written_to: from, position: to } = this;
    const { stage, waitForRoom } = this.context;
    this.written_to = to;
    if (outputs.length === 0) return;
    this.outputs = [];
    await waitForRoom(() => stage.sink.write({ stage: stage.name, partition, from, to, outputs }));
  }

  private commit(offset: number, note: Note): Promise<"committed" | "fenced"> {
    const { source, stage, waitForRoom } = this.context;
    const position = { topic: stage.input, partition: this.partition, offset };
    return waitForRoom(() => source.commit(position, this.generation, JSON.stringify(note)));
  }
}

function readNote(stage: string, text: string | undefined): Note {
  if (text === undefined || text === "") return { e: 0 };
  const note: unknown = JSON.parse(text);
  if (typeof note !== "object" || note === null || !("e" in note) || typeof note.e !== "number") {
    throw new Error(`the note committed for stage ${stage} isn't one of its own: ${text}`);
  }
  return {
    e: note.e,
    ...("at" in note && typeof note.at === "number" && { at: note.at }),
    ...("to" in note && typeof note.to === "number" && { to: note.to }),
  };
}
