import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { migrationsTable } from "../src/migrate";
import { onCluster } from "../src/on-cluster";
import { statements } from "../src/statements";

const migrations = join(__dirname, "../migrations");
const golden = join(__dirname, "golden");

const cases: readonly (readonly [string, string, string])[] = [
  ["a database", "CREATE DATABASE IF NOT EXISTS assay", "CREATE DATABASE IF NOT EXISTS assay ON CLUSTER `c-1`"],
  [
    "an engine without arguments",
    "create table if not exists assay.t (a Int8) engine=MergeTree order by a settings non_replicated_deduplication_window=7",
    "create table if not exists assay.t ON CLUSTER `c-1` (a Int8) engine=ReplicatedMergeTree('/clickhouse/tables/{shard}/assay/t', '{replica}') order by a settings replicated_deduplication_window=7, replicated_deduplication_window_seconds = 2592000",
  ],
  [
    "an engine with empty arguments, and what only looks like one",
    "CREATE TABLE IF NOT EXISTS assay.t (engine String DEFAULT 'ENGINE = Log', s String COMMENT 'non_replicated_deduplication_window = 1') ENGINE = SummingMergeTree() ORDER BY s SETTINGS a = 1, non_replicated_deduplication_window = 9",
    "CREATE TABLE IF NOT EXISTS assay.t ON CLUSTER `c-1` (engine String DEFAULT 'ENGINE = Log', s String COMMENT 'non_replicated_deduplication_window = 1') ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/assay/t', '{replica}') ORDER BY s SETTINGS a = 1, replicated_deduplication_window = 9, replicated_deduplication_window_seconds = 2592000",
  ],
  [
    "a change of a table",
    "ALTER TABLE assay.t\n  ADD COLUMN IF NOT EXISTS b UInt8",
    "ALTER TABLE assay.t ON CLUSTER `c-1`\n  ADD COLUMN IF NOT EXISTS b UInt8",
  ],
  [
    "a change of the window",
    "ALTER TABLE assay.t MODIFY SETTING non_replicated_deduplication_window = 5",
    "ALTER TABLE assay.t ON CLUSTER `c-1` MODIFY SETTING replicated_deduplication_window = 5, replicated_deduplication_window_seconds = 2592000",
  ],
];

const refused: readonly (readonly [string, string, string])[] = [
  ["an unknown engine", table("Log"), "assay.t has the engine Log, of which no replicated form is known"],
  ["a replicated engine", table("ReplicatedMergeTree"), "has the engine ReplicatedMergeTree, of which"],
  [
    "no engine",
    "CREATE TABLE IF NOT EXISTS assay.t AS assay.u SETTINGS non_replicated_deduplication_window = 1",
    "names no engine",
  ],
  [
    "no window",
    "CREATE TABLE IF NOT EXISTS assay.t (a Int8) ENGINE = MergeTree ORDER BY a",
    "needs one non_replicated_deduplication_window",
  ],
  ["no database", table("MergeTree").replace("assay.t", "t"), "t needs the name of its database"],
  [
    "a view with a hidden table",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS assay.v ENGINE = MergeTree ORDER BY a AS SELECT 1 AS a",
    "(TO …)",
  ],
  [
    "what can't be repeated",
    table("MergeTree").replace("IF NOT EXISTS ", ""),
    "no form for a cluster is known of the statement: CREATE TABLE assay.t",
  ],
  ["data", "INSERT INTO assay.t VALUES (1)", "no form for a cluster is known of the statement: INSERT"],
  ["a quoted name", "ALTER TABLE `assay`.t ADD COLUMN b UInt8", "no form for a cluster is known"],
];

function table(engine: string): string {
  return `CREATE TABLE IF NOT EXISTS assay.t (a Int8) ENGINE = ${engine} ORDER BY a SETTINGS non_replicated_deduplication_window = 1`;
}

describe("onCluster", () => {
  it.each(readdirSync(migrations).sort())("rewrites every statement of %s, as the golden file shows", (name) => {
    const rewritten = statements(readFileSync(join(migrations, name), "utf8")).map((statement) => onCluster(statement, "assay"));
    compare(name, rewritten);
  });

  it("rewrites the table of migrations", () => {
    compare("migrations-table.sql", [onCluster(migrationsTable, "assay")]);
  });

  it.each(cases)("rewrites %s", (_name, statement, expected) => {
    expect(onCluster(statement, "c-1")).toBe(expected);
  });

  it.each(refused)("refuses %s", (_name, statement, reason) => {
    expect(() => onCluster(statement, "c")).toThrow(reason);
  });

  it("refuses a cluster's name that would need quoting", () => {
    expect(() => onCluster("CREATE DATABASE IF NOT EXISTS assay", "a`b")).toThrow("ASSAY_CLICKHOUSE_CLUSTER");
  });
});

/** JEST_UPDATE_GOLDEN=1 writes the file anew, for a reviewer to read. */
function compare(name: string, rewritten: readonly string[]): void {
  const file = join(golden, `cluster-${name}`);
  const text = rewritten.map((statement) => `${statement};\n`).join("\n");
  if (process.env.JEST_UPDATE_GOLDEN === "1") writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, "utf8"));
}
