/**
 * The LMDB environment under the embedded log: its tables, and its one way to write. Every thread of the owning process opens the
 * same environment; LMDB lets one transaction write at a time, across threads.
 */
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
  const root: RootDatabase = open({ path: directory, noSubdir: false, maxDbs: tables_max, encoding: "binary" });
  const places = { keyEncoding: "binary", encoding: "binary" } as const;
  const texts = { encoding: "string" } as const;
  const usage = root.openDB<Buffer, string>("usage", { encoding: "binary" });
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
    async write(work) {
      try {
        // A child, so that one piece of work that throws doesn't take those with it that share its transaction. The promise resolves
        // after the commit's fdatasync: lmdb marks a transaction as committed only when that is over.
        return await root.childTransaction(work);
      } catch (error) {
        throw await translated(error, directory);
      }
    },
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

/** Errors of a failed commit come in a promise of their own; a disk without room becomes a LogFullError. */
async function translated(error: unknown, directory: string): Promise<unknown> {
  let cause = error;
  if (error instanceof Error && "commitError" in error) {
    cause = await Promise.resolve(error.commitError).then(
      () => error,
      (reason: unknown) => reason,
    );
  }
  if (cause instanceof Error && no_room.test(cause.message)) {
    return new LogFullError(`the log in ${directory} got no room from its file system: ${cause.message}`, { cause });
  }
  return cause;
}

const no_room = /No space left on device|Disk quota exceeded|File too large|MDB_MAP_FULL/;
