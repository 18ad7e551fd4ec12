/**
 * The log, as the stages see it: a narrow port with two adapters, embedded (LMDB) and Kafka. One contract suite
 * (test/log-contract.ts) runs against each.
 *
 * Delivery is at least once, ordered within a partition. Nothing is read before it is asked for.
 */
import type { TopicDefinition } from "@assay/schemas/topics";

export interface LogRecord {
  readonly topic: string;
  readonly partition: number;
  /** 0, 1, 2, … within a partition; gaps are allowed (compaction, transactions). */
  readonly offset: number;
  readonly key: Buffer | null;
  /** null is a tombstone of a compacted topic. */
  readonly value: Buffer | null;
  /** Milliseconds since 1970, given by the appender or else by the log. */
  readonly timestamp: number;
}

export interface NewRecord {
  readonly topic: string;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  /** Chosen from the key by the one partitioner when left out. */
  readonly partition?: number;
  /** Partition by this instead of the key (inventory: by host). Ignored where partition is given. */
  readonly partition_key?: string;
  readonly timestamp?: number;
}

export interface Position {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to read. */
  readonly offset: number;
}

export interface Appended {
  readonly partition: number;
  readonly offset: number;
}

/** The log refused for want of room; nothing of the call was appended. Callers back off and tell their own callers. */
export class LogFullError extends Error {
  override readonly name = "LogFullError";
}

/** Past the log's own limit on one record's bytes; nothing of the call was appended. */
export class RecordTooLargeError extends Error {
  override readonly name = "RecordTooLargeError";
}

export interface Log {
  /** Creates what is missing; throws, naming the topic and both numbers, where an existing topic's partition count differs. */
  ensureTopics(topics: readonly TopicDefinition[]): Promise<void>;
  partitions(topic: string): number;
  /** The partition that this key goes to. */
  partitionOf(topic: string, key: string): number;
  /** Resolves once the records are durable, in order. All of one call or (embedded) nothing. */
  append(records: readonly NewRecord[]): Promise<readonly Appended[]>;
  /** Joins a consumer group. The caller closes it. */
  source(options: SourceOptions): Promise<Source>;
  /** Reads without a group, from an offset (at least the earliest kept), up to max_records; empty at the end. */
  read(topic: string, partition: number, offset: number, max_records: number): Promise<readonly LogRecord[]>;
  /** First kept offset and the next offset to be written. */
  bounds(topic: string, partition: number): Promise<{ readonly earliest: number; readonly end: number }>;
  /** What a group has committed, for audits and lag; undefined where nothing. */
  committed(group: string, topic: string, partition: number): Promise<Committed | undefined>;
  close(): Promise<void>;
}

export interface Committed {
  readonly offset: number;
  readonly note: string;
}

export interface SourceOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** Where a partition starts that has no commit. */
  readonly from: "earliest" | "latest";
  /** Records in one batch, at most. */
  readonly batch_records_max: number;
}

/**
 * What a source yields, in the order in which it happened. A partition's records come only between its assigned and its
 * revoked. After revoked (or a commit answered "fenced") the stage drops that partition's work: another member has it.
 */
export type SourceEvent =
  | {
      readonly kind: "assigned";
      readonly topic: string;
      readonly partition: number;
      readonly generation: number;
      readonly committed: Committed | undefined;
      readonly earliest: number;
    }
  | { readonly kind: "revoked"; readonly topic: string; readonly partition: number; readonly generation: number }
  | {
      readonly kind: "records";
      readonly topic: string;
      readonly partition: number;
      readonly generation: number;
      readonly records: readonly LogRecord[] /** End of the partition when it was read: caught up when the last offset + 1 equals it. */;
      readonly end: number;
    }
  /** Nothing came within wait_ms. */
  | { readonly kind: "idle" };

export interface Source {
  /** The next event; waits up to wait_ms. One call at a time. */
  next(wait_ms: number): Promise<SourceEvent>;
  /** Moves the read position of an assigned partition (to replay from a checkpoint). */
  seek(topic: string, partition: number, offset: number): void;
  /** Stops (or lets go on) delivery from one partition; other partitions go on. */
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** Durable when it resolves "committed". "fenced": the generation is over, nothing was written. note: at most 4,096 bytes of UTF-8. */
  commit(position: Position, generation: number, note: string): Promise<"committed" | "fenced">;
  /** Leaves the group, without committing. */
  close(): Promise<void>;
}

export const note_bytes_max = 4096;
