/**
 * A stage is a pure reducer over one partition's records, with the loop that feeds it, delivers its outputs, checkpoints its
 * state and commits. Shapes here; the loop is in run-stage.ts.
 *
 * Two ways of delivery:
 * - at least once (`exact: false`): outputs are appended as they come; state is checkpointed every checkpoint_wait_ms and only then
 *   is the position committed, so a restart replays from the checkpoint and repeats outputs; their readers drop repeats.
 * - exact (`exact: true`): outputs gather into a block [from, to); the unchanged position is committed with a note that names `to`
 *   before the sink sees the block, and after a crash the very same block is built again, so the sink can drop it as a repeat.
 */
import type { LogRecord, NewRecord } from "./log";

export interface Stage<State, Output> {
  /** Also names the consumer group (`assay-<name>`) and the checkpoints. */
  readonly name: string;
  readonly input: string;
  readonly state: StateForm<State>;
  /** Awaited before each batch of records: reads control to its current end. */
  readonly prepare?: () => Promise<void>;
  /**
   * Applies one record: changes state in place and pushes outputs. Deterministic: no clock, no randomness, no I/O. A record that
   * can't be used becomes an output of its own (a dead letter); throwing means a bug and ends the stage.
   */
  readonly reduce: (state: State, record: LogRecord, outputs: Output[]) => void;
  readonly sink: Sink<Output>;
  /**
   * Called about every tick_wait_ms for each assigned partition whose records have all been read: what the passing of time alone
   * brings about, as records for the log (HostSilent). Not part of any block.
   */
  readonly tick?: (state: State, now: number, partition: number) => readonly NewRecord[];
  readonly limits: StageLimits;
}

export interface StageLimits {
  readonly batch_records_max: number;
  /** A block is flushed at this many outputs … */
  readonly flush_outputs_max: number;
  /** … or this long after its first record. */
  readonly flush_wait_ms: number;
  readonly checkpoint_wait_ms: number;
  readonly tick_wait_ms: number;
  /** The loop lets the event loop turn after this long. */
  readonly slice_ms: number;
}

/**
 * How state becomes a checkpoint: in buckets, so that only those that changed are written. An entry (a host) stays in one bucket.
 */
export interface StateForm<State> {
  /** Of the form below; a checkpoint of another version is refused with a clear error. */
  readonly version: number;
  readonly buckets: number;
  empty(partition: number): State;
  /** JSON values by bucket, undefined for empty ones. */
  restore(partition: number, buckets: readonly unknown[]): State;
  /** Buckets changed since the last call; forgets them. */
  takeDirty(state: State): Iterable<number>;
  /** A JSON value, or undefined when the bucket is empty. */
  snapshot(state: State, bucket: number): unknown;
}

export interface Block<Output> {
  readonly stage: string;
  readonly partition: number;
  /** Input positions [from, to). */
  readonly from: number;
  readonly to: number;
  /** Of the member that writes it: while it stays the same, the partition's blocks come one after the other, with none of another member between. */
  readonly generation: number;
  /**
   * Timestamp of its first record when it was first built, and the same when it is built again, though compaction may have taken that
   * record. Undefined where a note of an older release doesn't name it.
   */
  readonly origin: number | undefined;
  readonly outputs: readonly Output[];
}

export interface Sink<Output> {
  readonly exact: boolean;
  /**
   * Resolves when the outputs are durable. Exact: a block with the same (stage, partition, from, to) may come twice, with equal
   * outputs, and must count once. Rejects when the world is down past its own retries: the stage then ends.
   *
   * confirm is to be awaited before each step of a write that may take its time; it rejects, to be passed on, when another member has the
   * partition: that one writes the block.
   */
  write(block: Block<Output>, confirm: () => Promise<void>): Promise<void>;
}

export interface RunningStage {
  /** Rejects when the stage can't go on; resolves after stop. */
  readonly ended: Promise<void>;
  /** Input records read and not yet committed, and how far the partitions' ends are, for metrics and readiness. */
  status(): readonly PartitionStatus[];
  /** Lets the work in hand finish (deliver, checkpoint, commit), leaves the group. */
  stop(): Promise<void>;
}
export interface PartitionStatus {
  readonly partition: number;
  readonly position: number;
  readonly committed: number;
  readonly end: number;
  readonly caught_up: boolean;
}
