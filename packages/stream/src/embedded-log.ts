/**
 * The embedded log: the Log port over one LMDB environment in a directory. One process owns it; its main thread opens it, its other
 * threads attach to it.
 *
 * An append is one transaction and is on the disk when it resolves. A full disk, or more records than max_bytes has room for, is a
 * LogFullError and leaves the log as it was. Pages that retention and compaction free are used again, so the file stops growing once
 * appends and retention balance; it doesn't shrink.
 *
 * Compacted topics are compacted at append: a key has one record. A tombstone stays for at least tombstone_min_ms and until each group
 * that commits on its topic has passed it.
 */
import { mkdirSync, realpathSync } from "node:fs";
import type { TopicDefinition } from "@assay/schemas/topics";
import { prepareRecords, records_share, writeRecords } from "./embedded/append";
import { type Environment, openEnvironment } from "./embedded/environment";
import { partitionPlace, readPair } from "./embedded/framing";
import { clearMembers, readCommitted } from "./embedded/groups";
import { checkOwnership, giveUpOwnership, takeOwnership } from "./embedded/owner";
import { applyRetention } from "./embedded/retention";
import { EmbeddedSource, readRecords } from "./embedded/source";
import { TopicTable } from "./embedded/topic-table";
import { openWakes, type Wakes } from "./embedded/wakes";
import type { Appended, Committed, Log, LogRecord, NewRecord, Source, SourceOptions } from "./log";
import { partitionOfKey } from "./partitioner";

export interface EmbeddedLogOptions {
  readonly directory: string;
  /** Of keyed topics. */
  readonly partitions?: number;
  /** The file stays below this; records may take records_share of it, telemetry and inventory until they take intake_share. */
  readonly max_bytes?: number;
  /** A member of a group that isn't heard of for this long loses its partitions. */
  readonly session_ms?: number;
  /** How long to wait for another owner to end. */
  readonly owner_wait_ms?: number;
  readonly logger?: EmbeddedLogLogger;
}

export interface EmbeddedLogLogger {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EmbeddedLog extends Log {
  readonly directory: string;
  usage(): LogUsage;
  /** Drops what is past its retention as of now; the owner also does so by itself, every retention_wait_ms. Returns how many. */
  applyRetention(now: number): Promise<number>;
}

export interface LogUsage {
  readonly records_bytes: number;
  readonly records_bytes_max: number;
  readonly file_bytes: number;
}

export const embedded_partitions_default = 4;
export const log_bytes_max_default = 8 * 1_073_741_824;
export const session_ms_default = 30_000;
export const owner_wait_ms_default = 10_000;
export const retention_wait_ms = 10_000;

/** Opens the log for its owning process, which closes it. Throws where another process has it. */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  mkdirSync(options.directory, { recursive: true });
  const directory = realpathSync(options.directory);
  const environment = openEnvironment(directory);
  try {
    await takeOwnership(environment, options.owner_wait_ms ?? owner_wait_ms_default);
  } catch (error) {
    await environment.close();
    throw error;
  }
  await environment.write(() => {
    clearMembers(environment);
    environment.meta.put(max_bytes_key, String(options.max_bytes ?? log_bytes_max_default));
  });
  const topics = new TopicTable(environment);
  await topics.setKeyedPartitions(options.partitions ?? embedded_partitions_default);
  const log = new LmdbLog(environment, topics, options.session_ms ?? session_ms_default, "owner");
  log.keepRetention(options.logger);
  return log;
}

/**
 * Opens the log for another thread of the owning process; that thread closes what it opened, before the owner does. A thread must not be
 * terminated before it has: within a transaction it holds LMDB's write lock, which would then stay taken. Where a thread has died of an
 * error, the process ends too.
 */
export async function attachEmbeddedLog(options: Pick<EmbeddedLogOptions, "directory" | "session_ms">): Promise<EmbeddedLog> {
  const environment = openEnvironment(realpathSync(options.directory));
  try {
    checkOwnership(environment);
  } catch (error) {
    await environment.close();
    throw error;
  }
  return new LmdbLog(environment, new TopicTable(environment), options.session_ms ?? session_ms_default, "attached");
}

export type LogReader = Pick<Log, "partitions" | "read" | "bounds" | "committed" | "close">;

/** Reads a log that another process may own meanwhile: for audits. What the owner appends is seen by the next read. */
export async function readEmbeddedLog(options: Pick<EmbeddedLogOptions, "directory">): Promise<LogReader> {
  const environment = openEnvironment(realpathSync(options.directory));
  return new LmdbLog(environment, new TopicTable(environment), session_ms_default, "attached");
}

const max_bytes_key = "max-bytes";

/** Appends that share a transaction run in one go on the event loop: about 10 ms for this much. */
const in_flight_bytes_max = 2_097_152;

class LmdbLog implements EmbeddedLog {
  readonly directory: string;
  private readonly wakes: Wakes;
  private readonly sources = new Set<EmbeddedSource>();
  private readonly max_bytes: number;
  private readonly opened_at = performance.now();
  private readonly room = new Room(in_flight_bytes_max);
  private retention: NodeJS.Timeout | undefined;
  private retaining: Promise<number> | undefined;
  private closed = false;

  constructor(
    private readonly environment: Environment,
    private readonly topics: TopicTable,
    private readonly session_ms: number,
    private readonly role: "owner" | "attached",
  ) {
    this.directory = environment.directory;
    this.wakes = openWakes(environment.directory);
    this.max_bytes = Number(environment.meta.get(max_bytes_key));
  }

  ensureTopics(topics: readonly TopicDefinition[]): Promise<void> {
    return this.topics.ensure(topics);
  }

  partitions(topic: string): number {
    return this.topics.get(topic).partitions;
  }

  partitionOf(topic: string, key: string): number {
    return partitionOfKey(key, this.partitions(topic));
  }

  async append(records: readonly NewRecord[]): Promise<readonly Appended[]> {
    if (records.length === 0) return [];
    const prepared = prepareRecords(this.topics, records, Date.now());
    const bytes = prepared.reduce((sum, record) => sum + record.frame.length, 0);
    await this.room.enter(bytes);
    try {
      const appended = await this.environment.write(() => writeRecords(this.environment, prepared, this.max_bytes));
      this.wakes.notify();
      return appended;
    } finally {
      this.room.leave(bytes);
    }
  }

  async source(options: SourceOptions): Promise<Source> {
    const { environment, topics, wakes, session_ms } = this;
    const closed = (source: EmbeddedSource) => this.sources.delete(source);
    const source = await EmbeddedSource.join({ environment, topics, wakes, session_ms, closed }, options);
    this.sources.add(source);
    return source;
  }

  async read(topic: string, partition: number, offset: number, max_records: number): Promise<readonly LogRecord[]> {
    const topic_id = this.partition(topic, partition);
    return readRecords(this.environment, { topic, topic_id, partition, position: offset }, max_records).records;
  }

  async bounds(topic: string, partition: number): Promise<{ readonly earliest: number; readonly end: number }> {
    const topic_id = this.partition(topic, partition);
    const [earliest, end] = readPair(this.environment.heads.get(partitionPlace(topic_id, partition))) ?? [0, 0];
    return { earliest, end };
  }

  async committed(group: string, topic: string, partition: number): Promise<Committed | undefined> {
    this.partition(topic, partition);
    return readCommitted(this.environment, group, topic, partition);
  }

  usage(): LogUsage {
    this.environment.refresh();
    return {
      records_bytes: this.environment.usedBytes(),
      records_bytes_max: Math.floor(this.max_bytes * records_share),
      file_bytes: this.environment.fileBytes(),
    };
  }

  async applyRetention(now: number): Promise<number> {
    await this.retaining?.catch(() => undefined); // its own caller hears of it
    if (this.closed) return 0;
    this.retaining = applyRetention(this.environment, this.topics, now, performance.now() - this.opened_at);
    return this.retaining;
  }

  /** Now and every retention_wait_ms. A failure is told, and the next round tries again. */
  keepRetention(logger: EmbeddedLogLogger | undefined): void {
    const round = () => {
      this.applyRetention(Date.now()).catch((error: unknown) => {
        if (!this.closed) logger?.error({ error, directory: this.directory }, "dropping old records failed");
      });
    };
    this.retention = setInterval(round, retention_wait_ms);
    this.retention.unref();
    round();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.retention);
    await this.retaining?.catch(() => undefined); // told by keepRetention
    for (const source of [...this.sources]) await source.close();
    if (this.role === "owner") await giveUpOwnership(this.environment);
    this.wakes.close();
    await this.environment.close();
  }

  /** The topic's id; throws for a partition that it hasn't. Reads after this see what other threads wrote before it. */
  private partition(name: string, partition: number): number {
    const topic = this.topics.get(name);
    if (!Number.isInteger(partition) || partition < 0 || partition >= topic.partitions) {
      throw new Error(`partition ${partition} of ${name}, which has ${topic.partitions}`);
    }
    this.environment.refresh();
    return topic.id;
  }
}

/** Bounds the bytes of appends that wait for their transaction; first come, first served. */
class Room {
  private used = 0;
  private readonly waiting: { bytes: number; enter: () => void }[] = [];

  constructor(private readonly bytes_max: number) {}

  async enter(bytes: number): Promise<void> {
    if (this.waiting.length === 0 && (this.used === 0 || this.used + bytes <= this.bytes_max)) {
      this.used += bytes;
      return;
    }
    await new Promise<void>((resolve) => this.waiting.push({ bytes, enter: resolve }));
  }

  leave(bytes: number): void {
    this.used -= bytes;
    for (
      let next = this.waiting[0];
      next && (this.used === 0 || this.used + next.bytes <= this.bytes_max);
      next = this.waiting[0]
    ) {
      this.waiting.shift();
      this.used += next.bytes;
      next.enter();
    }
  }
}
