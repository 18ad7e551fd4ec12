/**
 * Makes ClickHouse's deduplication logs true again after its process was killed.
 *
 * A plain MergeTree notes a block's token in its deduplication log first and renames the part into place after that. Killed
 * between the two, it has a token without rows, and would then drop the very block that the writer sends again: accepted rows
 * would be lost. So before each start of the engine, tokens whose part is not there are withdrawn, by the records with which the engine
 * itself withdraws one.
 *
 * Owed by the caller: the engine isn't running, and can't start meanwhile.
 */
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";

/** Returns how many tokens were withdrawn. */
export function repairDeduplicationLogs(engine_path: string): number {
  let withdrawn = 0;
  for (const table of tableDirectories(join(engine_path, "store"))) {
    const logs = join(table, "deduplication_logs");
    if (!existsSync(logs)) continue;
    const files = readdirSync(logs).filter((name) => logNumber(name) > 0);
    files.sort((a, b) => logNumber(a) - logNumber(b));
    const last = files.at(-1);
    if (last === undefined) continue;
    dropCutOffRecord(join(logs, last));
    const text = files.map((name) => readFileSync(join(logs, name), "utf8")).join("");
    const records = withdrawals(text, readdirSync(table));
    if (records.length === 0) continue;
    appendDurably(join(logs, last), records.join(""));
    withdrawn += records.length;
  }
  return withdrawn;
}

/**
 * The records that withdraw those tokens of the log whose parts are neither among the names of a table's directory nor merged into one
 * of them. A record is `operation TAB part TAB token LF`, operation 1 to add and 2 to withdraw.
 */
export function withdrawals(log: string, names: readonly string[]): readonly string[] {
  const present = new Map<string, Part[]>();
  for (const name of names) {
    const part = parsePart(name);
    if (part === undefined) continue;
    const parts = present.get(part.partition);
    if (parts === undefined) present.set(part.partition, [part]);
    else parts.push(part);
  }
  const added = new Map<string, string>();
  for (const line of log.split("\n")) {
    const [operation, part, token] = line.split("\t");
    if (part === undefined || token === undefined) continue;
    if (operation === "1") added.set(token, part);
    else added.delete(token);
  }
  const records: string[] = [];
  for (const [token, name] of added) {
    const part = parsePart(name);
    if (part === undefined) continue;
    const covered = present.get(part.partition)?.some((other) => other.from <= part.from && part.to <= other.to) ?? false;
    if (!covered) records.push(`2\t${name}\t${token}\n`);
  }
  return records;
}

interface Part {
  readonly partition: string;
  readonly from: number;
  readonly to: number;
}

/** Names are partition_from_to_level, with a mutation's number at the end at times. Unfinished parts start with tmp, removed ones with delete_tmp. */
function parsePart(name: string): Part | undefined {
  const match = /^([^_]+)_(\d+)_(\d+)_\d+(_\d+)?$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  return { partition: match[1], from: Number(match[2]), to: Number(match[3]) };
}

function logNumber(name: string): number {
  return Number(/^deduplication_log_(\d+)\.txt$/.exec(name)?.[1] ?? 0);
}

/** Atomic databases keep a table under store/<first three digits>/<uuid>. */
function* tableDirectories(store: string): Generator<string> {
  if (!existsSync(store)) return;
  for (const group of readdirSync(store, { withFileTypes: true })) {
    if (!group.isDirectory()) continue;
    for (const table of readdirSync(join(store, group.name), { withFileTypes: true })) {
      if (table.isDirectory()) yield join(store, group.name, table.name);
    }
  }
}

/** Without its line's end a record would run into the next one; its part can't have come into place. */
function dropCutOffRecord(file: string): void {
  const bytes = readFileSync(file);
  const complete = bytes.lastIndexOf("\n") + 1;
  if (complete < bytes.length) truncateSync(file, complete);
}

function appendDurably(file: string, text: string): void {
  const handle = openSync(file, "a");
  try {
    appendFileSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
