/**
 * A migration's statement as a cluster needs it: made on every replica (ON CLUSTER), with an engine that replicates.
 *
 *   CREATE TABLE IF NOT EXISTS assay.t (…)                       CREATE TABLE IF NOT EXISTS assay.t ON CLUSTER `c` (…)
 *   ENGINE = ReplacingMergeTree(version)                   →     ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/assay/t', '{replica}', version)
 *   SETTINGS non_replicated_deduplication_window = 1000          SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000
 *
 * The path in Keeper is spelled out: the server's default holds the table's UUID, and a replica that joins later, given another's CREATE TABLE,
 * would get a UUID of its own and stand alone. {shard} and {replica} are the macros that every replicated ClickHouse has.
 *
 * What isn't known here is an error, so that no statement goes to a cluster as if it had only one node.
 */
import { tokens } from "./statements";

export function onCluster(statement: string, cluster: string): string {
  const sql = tokens(statement);
  for (const form of forms) {
    const name_at = afterWords(sql, 0, form.words);
    if (name_at === undefined) continue;
    const name = readName(sql, name_at);
    if (name === undefined) break;
    const head = sql.slice(0, name.end).join("");
    return `${head} ON CLUSTER ${quoteCluster(cluster)}${form.rest(sql.slice(name.end), name.parts)}`;
  }
  throw new Error(`no form for a cluster is known of the statement: ${firstLine(statement)}`);
}

/**
 * A block is built again at most as long after its first insert as its inputs are kept (inventory: 30 days). ClickHouse's default of an hour
 * would count a later repeat twice. How many tokens Keeper holds is bounded by the window's count.
 */
const deduplication_window_seconds = 30 * 24 * 3600;

const engines: ReadonlySet<string> = new Set(["MergeTree", "ReplacingMergeTree", "SummingMergeTree", "AggregatingMergeTree"]);

interface Form {
  readonly words: readonly string[];
  /** What comes after the name. */
  rest(sql: readonly string[], name: readonly string[]): string;
}

const forms: readonly Form[] = [
  { words: ["CREATE", "DATABASE", "IF", "NOT", "EXISTS"], rest: (sql) => sql.join("") },
  { words: ["CREATE", "TABLE", "IF", "NOT", "EXISTS"], rest: replicatedTable },
  { words: ["CREATE", "MATERIALIZED", "VIEW", "IF", "NOT", "EXISTS"], rest: viewWithTarget },
  { words: ["ALTER", "TABLE"], rest: (sql) => replicatedSettings(sql).sql },
];

function replicatedTable(rest: readonly string[], name: readonly string[]): string {
  const { sql, windows } = replicatedSettings(rest);
  if (windows !== 1)
    throw new Error(`${name.join(".")} needs one non_replicated_deduplication_window, or repeated blocks would count twice`);
  return replicatedEngine(tokens(sql), name);
}

function replicatedEngine(sql: readonly string[], name: readonly string[]): string {
  const [database, table] = name;
  if (database === undefined || table === undefined) throw new Error(`${name.join(".")} needs the name of its database`);
  for (const at of outside(sql)) {
    const engine_at = afterWords(sql, at, ["ENGINE", "="]);
    if (engine_at === undefined) continue;
    const word_at = afterSpace(sql, engine_at);
    const engine = sql[word_at] ?? "";
    if (!engines.has(engine))
      throw new Error(
        `${name.join(".")} has the engine ${engine}, of which no replicated form is known; known are ${[...engines].join(", ")}`,
      );
    const place = `'/clickhouse/tables/{shard}/${database}/${table}', '{replica}'`;
    const before = sql.slice(0, word_at).join("");
    const opening = afterWords(sql, word_at + 1, ["("]);
    if (opening === undefined) return `${before}Replicated${engine}(${place})${sql.slice(word_at + 1).join("")}`;
    const comma = sql[afterSpace(sql, opening)] === ")" ? "" : ", ";
    return `${before}Replicated${engine}(${place}${comma}${sql.slice(opening).join("")}`;
  }
  throw new Error(`${name.join(".")} names no engine`);
}

function viewWithTarget(sql: readonly string[], name: readonly string[]): string {
  if (afterWords(sql, 0, ["TO"]) === undefined)
    throw new Error(
      `the view ${name.join(".")} needs a table of its own to write to (TO …): a hidden one would not be replicated`,
    );
  return sql.join("");
}

/** The settings' replicated names, and how many deduplication windows there were. */
function replicatedSettings(sql: readonly string[]): { readonly sql: string; readonly windows: number } {
  const changed = [...sql];
  let windows = 0;
  for (const at of outside(sql)) {
    const value_at = afterWords(sql, at, ["NON_REPLICATED_DEDUPLICATION_WINDOW", "="]);
    if (value_at === undefined) continue;
    windows += 1;
    changed[at] = "replicated_deduplication_window";
    const count_at = afterSpace(sql, value_at);
    changed[count_at] = `${sql[count_at]}, replicated_deduplication_window_seconds = ${deduplication_window_seconds}`;
  }
  return { sql: changed.join(""), windows };
}

/** The places of words that stand outside of parentheses. */
function* outside(sql: readonly string[]): Generator<number> {
  let depth = 0;
  for (const [at, token] of sql.entries()) {
    if (token === "(") depth += 1;
    else if (token === ")") depth -= 1;
    else if (depth === 0 && isWord(token)) yield at;
  }
}

/** Where it goes on after these words, if they stand here. */
function afterWords(sql: readonly string[], at: number, words: readonly string[]): number | undefined {
  let next = at;
  for (const word of words) {
    next = afterSpace(sql, next);
    if (sql[next]?.toUpperCase() !== word) return undefined;
    next += 1;
  }
  return next;
}

function afterSpace(sql: readonly string[], at: number): number {
  return sql[at]?.trim() === "" ? at + 1 : at;
}

/** A name of one or two plain words: assay, or assay.findings. */
function readName(sql: readonly string[], at: number): { readonly parts: readonly string[]; readonly end: number } | undefined {
  const first_at = afterSpace(sql, at);
  const [first, dot, second] = sql.slice(first_at, first_at + 3);
  if (first === undefined || !isWord(first)) return undefined;
  if (dot !== ".") return { parts: [first], end: first_at + 1 };
  if (second === undefined || !isWord(second)) return undefined;
  return { parts: [first, second], end: first_at + 3 };
}

function isWord(token: string): boolean {
  return /^[A-Za-z0-9_]+$/.test(token);
}

function quoteCluster(name: string): string {
  if (!/^[A-Za-z0-9_.-]+$/.test(name))
    throw new Error(
      `the name of the cluster is "${name}"; it may have letters, digits, "_", "-" and "." (ASSAY_CLICKHOUSE_CLUSTER)`,
    );
  return `\`${name}\``;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
