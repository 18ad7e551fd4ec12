/**
 * The LMDB environment under the embedded log: its tables, and its one way to write. Every thread of the owning process opens the
 * same environment; LMDB lets one transaction write at a time, across threads.
 */
import { statfsSync } from "node:fs";
import { type Database, open, type RootDatabase } from "lmdb";
import { LogFullError } from "../log";
import { pair, readPair } from "./framing";

export interface Environment {
  readonly directory: string;
  /** place of a record → its frame */
  readonly records: Database<Buffer, Buffer>;
  /** place of a partition → [start, end): start moves by retention alone, so that a gap left by compaction isn't taken for a loss */
  readonly heads: Database<Buffer, Buffer>;
  /** compacted topics: place of a key → (offset of its one record, stored bytes) */
  readonly keys: Database<Buffer, Buffer>;
  /** compacted topics: place of a tombstone's record → place of its key */
  readonly tombstones: Database<Buffer, Buffer>;
  readonly topics: Database<string, string>;
  readonly groups: Database<string, string>;
  /** [group, topic, partition] → offset and note */
  readonly commits: Database<string, [string, string, number]>;
  readonly meta: Database<string, string>;
  /**
   * Runs work inside one write transaction and resolves to what it returned once that is on the disk; where it throws, nothing is
   * written. Runs in order of the calls. Work is synchronous and short: all writers wait for it.
   */
  write<T>(work: () => T): Promise<T>;
  /** Lets the next read see what other threads have written. */
  refresh(): void;
  /** Bytes that records take; kept inside transactions by addUsedBytes. */
  usedBytes(): number;
  addUsedBytes(bytes: number): void;
  fileBytes(): number;
  close(): Promise<void>;
}

export function openEnvironment(directory: string): Environment {
  // Batches by event turn would add a promise of lmdb's own to each transaction, whose rejection nobody could handle.
  // Overlapping syncs let a second process that opens the environment (an audit) crash the one that writes, and lose what it wrote last.
  const root = open<Buffer, string>({
    path: directory,
    noSubdir: false,
    maxDbs: tables_max,
    eventTurnBatching: false,
    overlappingSync: false,
  });
  const places = { keyEncoding: "binary", encoding: "binary" } as const;
  const texts = { encoding: "string" } as const;
  const usage = root.openDB<Buffer, string>("usage", { encoding: "binary" });
  const writer = new Writer(root, directory);
  return {
    directory,
    records: root.openDB<Buffer, Buffer>("records", places),
    heads: root.openDB<Buffer, Buffer>("heads", places),
    keys: root.openDB<Buffer, Buffer>("keys", places),
    tombstones: root.openDB<Buffer, Buffer>("tombstones", places),
    topics: root.openDB<string, string>("topics", texts),
    groups: root.openDB<string, string>("groups", texts),
    commits: root.openDB<string, [string, string, number]>("commits", texts),
    meta: root.openDB<string, string>("meta", texts),
    write: (work) => writer.write(work),
    refresh: () => root.resetReadTxn(),
    usedBytes: () => readPair(usage.get("records"))?.[0] ?? 0,
    addUsedBytes(bytes) {
      const used = readPair(usage.get("records"))?.[0] ?? 0;
      usage.put("records", pair(Math.max(0, used + bytes), 0));
    },
    fileBytes() {
      const stats = root.getStats() as { pageSize: number; lastPageNumber: number };
      return (stats.lastPageNumber + 1) * stats.pageSize;
    },
    close: () => root.close(),
  };
}

const tables_max = 16;

/**
 * Writes that are asked for together share a transaction and its flush. One that throws takes back only its own. But where the commit
 * fails for want of room, all of it is gone, and the small writes must not fail for the large one: so each is tried again alone.
 */
class Writer {
  private alone: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly root: RootDatabase,
    private readonly directory: string,
  ) {}

  async write<T>(work: () => T): Promise<T> {
    try {
      return await this.transact(work);
    } catch (error) {
      if (!(error instanceof LogFullError) || !error.cause) throw error;
    }
    const attempt = this.alone.then(() => this.transact(work));
    this.alone = attempt.catch(() => undefined); // the caller has it
    return attempt;
  }

  private async transact<T>(work: () => T): Promise<T> {
    try {
      // The promise resolves after the commit's fdatasync: lmdb marks a transaction as committed only when that is over.
      return await this.root.childTransaction(work);
    } catch (error) {
      const cause = await causeOf(error);
      if (!this.isOutOfRoom(cause)) throw cause;
      throw new LogFullError(`the log in ${this.directory} got no room from its file system: ${cause.message}`, { cause });
    }
  }

  /** A write that went in only in part is an input/output error to LMDB. */
  private isOutOfRoom(cause: unknown): cause is Error {
    if (!(cause instanceof Error)) return false;
    if (no_room.test(cause.message)) return true;
    if (!cause.message.includes("Input/output error")) return false;
    const { bavail, bsize } = statfsSync(this.directory);
    return bavail * bsize < nearly_full_bytes;
  }
}

const no_room = /No space left on device|Disk quota exceeded|File too large/;
const nearly_full_bytes = 16_777_216;

/** The error of a failed commit comes in a promise of its own. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && "commitError" in error)) return error;
  return Promise.resolve(error.commitError).then(
    () => error,
    (reason: unknown) => reason,
  );
}
