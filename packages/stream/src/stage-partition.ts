/**
 * One partition's work in a stage, from its assignment to its revocation: state, the outputs in hand, and how they are delivered.
 *
 *   restored ──records──▶ gathering ──flush──▶ committed ──records──▶ gathering …
 *
 * At least once: outputs are written as they come; a checkpoint and a commit follow every checkpoint_wait_ms.
 * Exact: outputs gather. A flush names the block's end in the committed note, writes the block, checkpoints, commits. When the note that
 * came with the assignment names an end, that very block is gathered and written again before anything else.
 *
 * A sink drops a repeated block only among its last ones, so a write must not begin long after another member took over: the note is
 * committed again before each attempt, and within one where confirm_wait_ms has passed. Who can't has lost the partition.
 *
 * The first commit of all comes before the first checkpoint: so a checkpoint without any commit says that the commits were lost.
 */
import type { Codec } from "@assay/schemas/codec";
import { type Checkpoint, type CheckpointOwner, newestCheckpoint, restoreCheckpoint } from "./checkpoints";
import { type Note, readNote } from "./committed-note";
import { type Committed, type Log, LogFullError, type LogRecord, type NewRecord, type Source, type SourceEvent } from "./log";
import type { Block, PartitionStatus, Stage } from "./stage";

/** A write that begins later after the last commit confirms first that the partition is still this member's. */
export const confirm_wait_ms = 5_000;

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

/** Restores the state that the commit names. Throws where records that it still needs are gone, and where the commits are. */
export async function openPartition<State, Output>(
  context: PartitionContext<State, Output>,
  assigned: Extract<SourceEvent, { kind: "assigned" }>,
): Promise<StagePartition<State, Output>> {
  const { stage, log, codec, source, waitForRoom } = context;
  const { partition, generation, committed, earliest } = assigned;
  const waiting: CheckpointOwner<State>["log"] = {
    append: (records) => waitForRoom(() => log.append(records)),
    read: (topic, of, offset, max_records) => log.read(topic, of, offset, max_records),
    bounds: (topic, of) => log.bounds(topic, of),
  };
  const owner = { log: waiting, codec, stage: stage.name, form: stage.state, partition, generation };
  const { from, note } = await beginning(owner, stage.input, committed, earliest);
  if (from < earliest) {
    throw new Error(
      `stage ${stage.name} has read ${stage.input}, partition ${partition}, up to offset ${from}, but the log begins at ${earliest}: ` +
        `${earliest - from} records were dropped before the stage read them. Raise the topic's retention_ms so that it outlasts the ` +
        "time for which the stage may stand still",
    );
  }
  const { end } = await log.bounds(stage.input, partition);
  const read_to = Math.max(from, note.to ?? 0);
  if (read_to > end) {
    throw new Error(
      `stage ${stage.name} has read ${stage.input}, partition ${partition}, up to offset ${read_to}, but the log ends at ${end}: the topic ` +
        "was made anew, or has lost records. What the stage keeps is of the topic as it was; docs/operations.md says how to begin anew",
    );
  }
  const { state, checkpoint } = await restoreCheckpoint(owner, note.e, note.at);
  source.seek(stage.input, partition, from);
  return new StagePartition(context, partition, generation, state, checkpoint, from, end, note, committed !== undefined);
}

/**
 * An offset that was set by hand has no note: the stage goes on from its newest checkpoint then, at that offset if it is a later one.
 * Up to its checkpoint a stage has delivered all.
 */
async function beginning<State>(
  owner: CheckpointOwner<State>,
  input: string,
  committed: Committed | undefined,
  earliest: number,
): Promise<{ readonly from: number; readonly note: Note }> {
  const { stage, partition } = owner;
  if (committed && committed.note !== "") return { from: committed.offset, note: readNote(stage, committed.note) };
  const newest = await newestCheckpoint(owner);
  if (committed) return { from: Math.max(committed.offset, newest?.position ?? 0), note: { e: newest?.epoch ?? 0 } };
  if (!newest) return { from: earliest, note: { e: 0 } };
  throw new Error(
    `stage ${stage} has committed nothing on ${input}, partition ${partition}, but there is its checkpoint ${newest.epoch} of offset ` +
      `${newest.position}: the commits of its group are gone, by the broker's offsets.retention.minutes or because somebody deleted the ` +
      "group. To begin anew would count again what was counted. To go on from the checkpoints set the group's offsets by hand, to the " +
      "earliest, as docs/operations.md says",
  );
}

export class StagePartition<State, Output> {
  private outputs: Output[] = [];
  /** Up to here all is in the state. */
  private position: number;
  /** Up to here the outputs are with the sink. */
  private written_to: number;
  /** Set while a block that may have been written before is gathered again. */
  private rebuild_to: number | undefined;
  /** When the first record after the last flush was read. */
  private gathering_since: number | undefined;
  private tick_at: number;
  /** Timestamp of the first record after the last flush; of a block that is gathered again, as the note names it. */
  private origin: number | undefined;
  /** Where the partition ended at a time, as the last tick that was due has asked: the answer may take its time. */
  private asked: { readonly time: number; answer?: { readonly end: number } | { readonly error: unknown } } | undefined;
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
    private log_end: number,
    note: Note,
    private has_committed: boolean,
  ) {
    this.position = from;
    this.written_to = from;
    this.rebuild_to = note.to;
    this.origin = note.origin;
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
      if (this.gathering_since === undefined && this.rebuild_to === undefined) this.origin = record.timestamp;
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

  /** Ticks with the time at which it asked for the partition's end, once all before that end is read. Waits for no answer. */
  async tickIfDue(now: number, time: number): Promise<void> {
    const { stage, log } = this.context;
    if (!stage.tick) return;
    if (!this.asked && now >= this.tick_at) {
      this.tick_at = now + stage.limits.tick_wait_ms;
      this.askForEnd(time);
    }
    if (!this.asked?.answer) return;
    const { time: asked_at, answer } = this.asked;
    this.asked = undefined;
    if ("error" in answer) throw answer.error;
    this.log_end = Math.max(this.log_end, answer.end);
    if (!this.isCaughtUp()) return;
    this.ticked.push(...stage.tick(this.state, asked_at, this.partition));
    if (this.ticked.length === 0) return;
    try {
      await log.append(this.ticked);
      this.ticked = [];
    } catch (error) {
      if (!(error instanceof LogFullError)) throw error; // else they wait for the next tick: what makes room must not end for them
    }
  }

  private askForEnd(time: number): void {
    const { stage, log } = this.context;
    const asked: NonNullable<typeof this.asked> = { time };
    this.asked = asked;
    log.bounds(stage.input, this.partition).then(
      ({ end }) => {
        asked.answer = { end };
      },
      (error: unknown) => {
        asked.answer = { error };
      },
    );
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
    this.position = to;
    if (this.context.stage.sink.exact) {
      if ((await this.writeBlock()) === "fenced") return "fenced";
    } else await this.writeOutputs();
    if (!this.has_committed && (await this.commit(this.from, this.note())) === "fenced") return "fenced";
    await this.checkpoint.write(this.state, to);
    if ((await this.commit(to, this.note())) === "fenced") return "fenced";
    this.checkpoint.committed();
    this.from = to;
    this.rebuild_to = undefined;
    this.gathering_since = undefined;
    return "delivered";
  }

  private async writeOutputs(): Promise<void> {
    const block = this.takeBlock();
    if (block) await this.context.waitForRoom(() => this.context.stage.sink.write(block, async () => undefined));
  }

  private async writeBlock(): Promise<Delivery> {
    const block = this.takeBlock();
    if (!block) return "delivered";
    const { to, origin } = block;
    const note: Note = { ...this.note(), to, ...(origin !== undefined && { origin }) };
    let confirmed_at: number | undefined;
    const confirm = async (): Promise<void> => {
      const now = performance.now();
      if (confirmed_at !== undefined && now - confirmed_at < confirm_wait_ms) return;
      if ((await this.commitOnce(this.from, note)) === "fenced") throw new FencedError();
      confirmed_at = now;
    };
    try {
      await this.context.waitForRoom(async () => {
        confirmed_at = undefined;
        await confirm();
        await this.context.stage.sink.write(block, confirm);
      });
    } catch (error) {
      if (error instanceof FencedError) return "fenced";
      throw error;
    }
    return "delivered";
  }

  private takeBlock(): Block<Output> | undefined {
    const { outputs, partition, generation, origin, written_to: from, position: to } = this;
    this.written_to = to;
    if (outputs.length === 0) return undefined;
    this.outputs = [];
    return { stage: this.context.stage.name, partition, generation, from, to, origin, outputs };
  }

  private note(): Note {
    return { e: this.checkpoint.epoch, at: this.checkpoint.scan_from };
  }

  private commit(offset: number, note: Note): Promise<"committed" | "fenced"> {
    return this.context.waitForRoom(() => this.commitOnce(offset, note));
  }

  private async commitOnce(offset: number, note: Note): Promise<"committed" | "fenced"> {
    const { source, stage } = this.context;
    const position = { topic: stage.input, partition: this.partition, offset };
    const answer = await source.commit(position, this.generation, JSON.stringify(note));
    if (answer === "committed") this.has_committed = true;
    return answer;
  }
}

/** What stops the sink in the middle of a block. */
class FencedError extends Error {
  override readonly name = "FencedError";
}
