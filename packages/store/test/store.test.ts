import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { query_rows_max, type Store } from "../src/client";
import type { Engine } from "../src/engine";
import { migrate, requireMigrated } from "../src/migrate";
import { onCluster } from "../src/on-cluster";
import { statements } from "../src/statements";
import { activity, blockOf, noon } from "./activity";
import { TemporaryEngines } from "./temporary-engine";

const migrations = join(__dirname, "../migrations");
let engines: TemporaryEngines;
let engine: Engine;
let store: Store;

beforeAll(async () => {
  engines = new TemporaryEngines();
  engine = await engines.start();
  store = engines.connect(engine);
});
afterAll(() => engines.endAll());

describe("migrate", () => {
  const names = readdirSync(migrations).sort();

  it("applies each migration once, in order, also when two migrate at a time", async () => {
    const [one, other] = await Promise.all([migrate(store), migrate(store)]);
    expect([...one, ...other]).toEqual(expect.arrayContaining(names));
    expect(await migrate(store)).toEqual([]);
    const applied = await store.query<{ name: string; applied_at: number }>(
      "SELECT name, applied_at FROM assay.migrations FINAL ORDER BY number",
    );
    expect(applied.map((row) => row.name)).toEqual(names);
    expect(Math.abs(Date.now() - (applied[0]?.applied_at ?? 0))).toBeLessThan(60_000);
  });

  it("has only statements that can be repeated, as a migrator that died needs it", async () => {
    for (const name of names) {
      for (const statement of statements(readFileSync(join(migrations, name), "utf8"))) await store.command(statement);
    }
  });

  it("has every table drop repeated blocks and put blocks on disk", async () => {
    const tables = await store.query<{ name: string; create: string }>(
      "SELECT name, create_table_query AS create FROM system.tables WHERE database = 'assay' AND engine LIKE '%MergeTree'",
    );
    expect(tables.length).toBeGreaterThan(8);
    for (const { create } of tables) {
      expect(create).toMatch(/non_replicated_deduplication_window = \d{4}/);
      expect(create).toContain("fsync_after_insert = 1, fsync_part_directory = 1");
    }
  });

  it("has a form for a cluster that ClickHouse's own parser reads, with settings that it knows", async () => {
    for (const name of names) {
      for (const statement of statements(readFileSync(join(migrations, name), "utf8"))) {
        const [parsed] = await store.query<{ sql: string }>("SELECT formatQuery({sql: String}) AS sql", {
          sql: onCluster(statement, "c"),
        });
        expect(parsed?.sql).toContain("ON CLUSTER c");
      }
    }
    const known = await store.query(
      "SELECT name FROM system.merge_tree_settings WHERE name IN ('replicated_deduplication_window', 'replicated_deduplication_window_seconds')",
    );
    expect(known).toHaveLength(2);
  });

  it("refuses a cluster for the tables of one server, and one that the server doesn't know", async () => {
    await expect(migrate(store, { cluster: "c" })).rejects.toThrow("are those of one server, not of the cluster c");
    const other = engines.connect(await engines.start());
    await expect(migrate(other, { cluster: "c" })).rejects.toThrow("knows no cluster c (ASSAY_CLICKHOUSE_CLUSTER); it knows: ");
  });

  it("gives every table that is written in blocks a window of 20,000 tokens", async () => {
    const tables = await store.query<{ name: string; large: number }>(
      `SELECT name, extract(create_table_query, 'non_replicated_deduplication_window = (\\d+)') = '20000' AS large FROM system.tables
      WHERE database = 'assay' AND engine LIKE '%MergeTree' AND name != 'migrations' ORDER BY name`,
    );
    expect(tables.length).toBe(8);
    expect(tables.filter(({ large }) => large === 0)).toEqual([]);
  });

  it("tells who may not migrate whether that has been done", async () => {
    await expect(requireMigrated(store)).resolves.toBeUndefined();
    const empty = engines.connect(await engines.start());
    await expect(requireMigrated(empty)).rejects.toThrow(
      "lack 0001_tables.sql, 0002_larger_deduplication_windows.sql: migrate it first, as a user who may",
    );
  });

  it("refuses an edited migration, one out of order, and a store of a newer version", async () => {
    const copy = engines.directory();
    cpSync(migrations, copy, { recursive: true });
    const first = join(copy, "0001_tables.sql");
    writeFileSync(first, `${readFileSync(first, "utf8")}\n-- edited\n`);
    await expect(migrate(store, { directory: copy })).rejects.toThrow(/0001_tables.sql was applied .* must not be edited/);
    writeFileSync(join(copy, "0009_gap.sql"), "SELECT 1");
    await expect(migrate(store, { directory: copy })).rejects.toThrow(/0009_gap.sql in .*: expected a file named 000\d_/);
    await expect(migrate(store, { directory: engines.directory() })).rejects.toThrow(
      /was migrated to \d{4}_\w+\.sql by a newer version/,
    );
    await expect(migrate(store, { directory: join(copy, "none") })).rejects.toThrow("is missing");
  });
});

describe("insertBlock", () => {
  const tables: readonly [string, Record<string, unknown>][] = [
    [
      "rules",
      {
        rule_id: "assay.ssh.root_login",
        package: "assay-ssh",
        title: "Root login over SSH",
        description: 'Zeile 1\nline 2\t"quoted" \\ \'',
        author: "Assay",
        severity: "high",
        category: "setting",
        scope: "state",
        remediation: "Set PermitRootLogin no",
        references: ["https://example.org/a?b=c&d", ""],
        tags: [],
        controls: { "cis-1.2": ["5.2.1", "5.2.2"], empty: [] },
        platforms: ["linux"],
        ruleset: "d1",
        removed: 1,
        version: noon,
      },
    ],
    [
      "findings",
      {
        finding_id: "f1",
        rule_id: "r1",
        package: "p1",
        category: "listener",
        severity: "critical",
        severity_rank: 4,
        title: "Türe offen 🚪",
        host_id: "h1",
        host_name: "web-1",
        application_id: "",
        applications: ["shop", "api"],
        identity: { port: "8080", path: "/a'b" },
        status: "resolved",
        status_reason: "",
        first_seen: noon + 1,
        last_seen: noon + 999,
        resolved_at: noon + 123,
        occurrences: Number.MAX_SAFE_INTEGER,
        late: 0,
        evidence: '{"a":"b"}',
        ruleset: "d1",
        version: noon,
      },
    ],
    ["finding_activity", { ...activity(0), late: 1 }],
    [
      "outcomes",
      {
        rule_id: "r1",
        package: "p1",
        host_id: "h1",
        application_id: "",
        outcome: "clear",
        reason: "",
        as_of: noon + 7,
        period_start: null,
        late: 0,
        ruleset: "d1",
      },
    ],
    [
      "coverage",
      {
        host_id: "h1",
        host_name: "web-1",
        agent_version: "0.1.0",
        window_start: noon,
        window_end: noon + 10_000,
        incarnation: noon * 1000,
        seq_from: 1,
        seq_to: 9,
        closed_by: "complete",
        covered_ms: 10_000,
        clock_offset_ms: -7,
        applications: ["shop"],
        assessments: [],
        tags: { env: "test" },
        windowed: { process: 3, connection: 4 },
        folded: { process: 1 },
        cut: {},
        duplicates: {},
        dropped: { file: 2 },
        drop_reasons: { rate: 2 },
        collectors: { process: "ok", file: "absent: not supported" },
        received_through: noon + 12_345,
      },
    ],
    [
      "inventory_sections",
      {
        host_id: "h1",
        host_name: "web-1",
        section: "sshd",
        status: "collected",
        reason: "",
        digest: "abc",
        collected_at: noon - 1,
        content: JSON.stringify({ permitrootlogin: "no" }),
        version: noon,
      },
    ],
  ];

  it.each(tables)("gives back every column of %s as it was", async (table, row) => {
    const columns = await store.query<{ name: string }>(
      "SELECT name FROM system.columns WHERE database = 'assay' AND table = {table: String}",
      {
        table,
      },
    );
    expect(Object.keys(row).sort()).toEqual(columns.map((column) => column.name).sort());
    await store.insertBlock(blockOf(table, [row], `roundtrip-${table}`));
    expect(await store.query(`SELECT * FROM assay.${table}`)).toEqual([row]);
    await store.command(`TRUNCATE TABLE assay.${table}`);
    await store.command("TRUNCATE TABLE assay.coverage_hourly");
    await store.command("TRUNCATE TABLE assay.finding_activity_hourly");
  });

  it("keeps rows of the same finding with the greatest version", async () => {
    const [, finding] = tables[1] ?? ["", {}];
    await store.insertBlock(blockOf("findings", [{ ...finding, version: 2, title: "new" }], "v2"));
    await store.insertBlock(blockOf("findings", [{ ...finding, version: 1, title: "old", resolved_at: null }], "v1"));
    expect(await store.query("SELECT title, version FROM assay.findings FINAL")).toEqual([{ title: "new", version: 2 }]);
  });

  it("writes one part per insert and month, whatever the size", async () => {
    await store.command("CREATE TABLE assay.large AS assay.finding_activity");
    await store.command("SYSTEM STOP MERGES assay.large");
    const evidence = "x".repeat(400);
    const rows = Array.from({ length: 50_000 }, (_, i) => ({ ...activity(i), evidence: `${evidence}${i}` }));
    const block = { ...blockOf("large", rows, "large"), table: "assay.large" };
    await store.insertBlock(block);
    await store.insertBlock(block);
    expect(await parts("large")).toEqual([50_000]);
    const over_the_end_of_a_month = [activity(0), { ...activity(1), at: Date.UTC(2026, 11, 1) }];
    for (let i = 0; i < 2; i += 1)
      await store.insertBlock({ ...blockOf("large", over_the_end_of_a_month, "months"), table: "assay.large" });
    expect(await parts("large")).toEqual([1, 1, 50_000]);
    await store.command("DROP TABLE assay.large SYNC");
  });

  it("takes a quorum's settings, which tables that don't replicate ignore", async () => {
    const careful = engines.connect(engine, { insert_quorum: "auto" });
    await careful.insertBlock(blockOf("outcomes", [{ rule_id: "quorum", as_of: noon }], "quorum"));
    expect(await store.query("SELECT count() AS n FROM assay.outcomes WHERE rule_id = 'quorum'")).toEqual([{ n: 1 }]);
    await store.command("TRUNCATE TABLE assay.outcomes");
  });

  it("rejects at once, with the server's words, what the server refuses", async () => {
    const began = Date.now();
    await expect(store.insertBlock({ table: "assay.findings", columns: ["nope"], rows: [[1]], token: "t" })).rejects.toThrow(
      /No such column nope/,
    );
    await expect(store.insertBlock({ table: "assay.findings", columns: ["version"], rows: [["x"]], token: "t" })).rejects.toThrow(
      /Cannot parse/,
    );
    await expect(store.insertBlock({ table: "assay.none", columns: ["a"], rows: [[1]], token: "t" })).rejects.toThrow(
      /does not exist/,
    );
    await expect(store.query("SELEC 1")).rejects.toThrow(/Syntax error/);
    const stranger = engines.connect(engine, { password: "wrong" });
    await expect(stranger.query("SELECT 1")).rejects.toThrow(/Authentication failed/);
    expect(await stranger.ping()).toBe(false);
    expect(await store.ping()).toBe(true);
    expect(Date.now() - began).toBeLessThan(3_000);
  });
});

describe("query", () => {
  it("takes parameters, and gives times as milliseconds and integers as numbers", async () => {
    const row = await store.query(
      `SELECT {text: String} AS text, {list: Array(String)} AS list, fromUnixTimestamp64Milli({at: Int64}) AS at,
        toDateTime(at, 'UTC') AS second, CAST(NULL, 'Nullable(DateTime64(3))') AS none, toUInt64(7) AS n, count() AS c, [at] AS nested`,
      { text: "it's; \\ \t ü", list: ["a'b", "c"], at: noon + 5 },
    );
    const nested = [`${noon / 1000}.005`];
    expect(row).toEqual([
      { text: "it's; \\ \t ü", list: ["a'b", "c"], at: noon + 5, second: noon, none: null, n: 7, c: 1, nested },
    ]);
  });

  it("refuses results that are too large and integers that a number can't hold", async () => {
    await expect(store.query(`SELECT number FROM system.numbers LIMIT ${query_rows_max + 1}`)).rejects.toThrow(
      /Limit for result exceeded/,
    );
    await expect(store.query("SELECT 9007199254740993 AS big")).rejects.toThrow("column big holds");
    expect(await store.query("SELECT toString(9007199254740993) AS big")).toEqual([{ big: "9007199254740993" }]);
  });

  it("lets the reader read", async () => {
    const reader = engines.connect(engine, engine.reader);
    await store.insertBlock(blockOf("outcomes", [{ rule_id: "r", as_of: noon }], "reader"));
    expect(await reader.query("SELECT rule_id, as_of FROM assay.outcomes")).toEqual([{ rule_id: "r", as_of: noon }]);
    await expect(reader.command("TRUNCATE TABLE assay.outcomes")).rejects.toThrow(/privileges|readonly/);
  });
});

async function parts(table: string): Promise<number[]> {
  const found = await store.query<{ rows: number }>(
    "SELECT rows FROM system.parts WHERE database = 'assay' AND table = {table: String} AND active ORDER BY rows",
    { table },
  );
  return found.map((part) => part.rows);
}
