/** The users that deploy/clickhouse gives a server: each can do its work, and nothing else. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { connectStore, type Store } from "../src/client";
import { migrate, requireMigrated } from "../src/migrate";
import { activity, blockOf } from "./activity";
import { type ConfiguredEngine, startConfiguredEngine } from "./configured-engine";

const users = join(__dirname, "../../../deploy/clickhouse/users.d/assay.xml");
const passwords = { assay_migrator: "m-secret", assay: "w-secret", assay_reader: "r-secret" };

let engine: ConfiguredEngine;
const stores: Store[] = [];
let migrator: Store;
let writer: Store;
let reader: Store;

beforeAll(async () => {
  engine = await startConfiguredEngine({
    users: [users],
    env: {
      ASSAY_MIGRATOR_PASSWORD_SHA256: sha256(passwords.assay_migrator),
      ASSAY_WRITER_PASSWORD_SHA256: sha256(passwords.assay),
      ASSAY_READER_PASSWORD_SHA256: sha256(passwords.assay_reader),
    },
  });
  migrator = connect("assay_migrator");
  writer = connect("assay");
  reader = connect("assay_reader");
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await engine.stop();
});

it("let the migrator make the tables, and nobody else", async () => {
  await expect(migrate(writer)).rejects.toThrow(/Not enough privileges/);
  expect(await migrate(migrator)).toContain("0001_tables.sql");
  expect(await migrate(migrator)).toEqual([]);
  await requireMigrated(writer);
});

it("let the writer write blocks, also through views, and read them", async () => {
  const block = blockOf("finding_activity", [activity(0), activity(1)], "once");
  await writer.insertBlock(block);
  await writer.insertBlock(block);
  for (const store of [writer, reader])
    expect(
      await store.query(
        "SELECT (SELECT count() FROM assay.finding_activity) AS rows, (SELECT sum(occurrences) FROM assay.finding_activity_hourly) AS hourly",
      ),
    ).toEqual([{ rows: 2, hourly: 3 }]);
});

it("let the reader only read", async () => {
  await expect(reader.insertBlock(blockOf("outcomes", [{ rule_id: "r" }], "t"))).rejects.toThrow(/privileges|readonly/);
  await expect(reader.query("SELECT 1 SETTINGS max_execution_time = 600")).rejects.toThrow(/max_execution_time/);
});

it.each([
  ["assay", "DROP TABLE assay.findings"],
  ["assay", "TRUNCATE TABLE assay.findings"],
  ["assay", "ALTER TABLE assay.findings DELETE WHERE 1"],
  ["assay", "ALTER TABLE assay.findings MODIFY TTL toDateTime(first_seen) + INTERVAL 1 DAY"],
  ["assay", "CREATE TABLE assay.other (a Int8) ENGINE = MergeTree ORDER BY a"],
  ["assay_migrator", "DROP TABLE assay.findings"],
  ["assay_migrator", "DROP DATABASE assay"],
  ["assay_migrator", "CREATE TABLE default.other (a Int8) ENGINE = MergeTree ORDER BY a"],
  ["assay_migrator", "CREATE TABLE assay.other (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)"],
  ["assay_migrator", "CREATE USER other"],
] as const)("refuse %s: %s", async (user, sql) => {
  await expect(connect(user).command(sql)).rejects.toThrow(/Not enough privileges/);
});

it.each(["assay_migrator", "assay", "assay_reader"] as const)(
  "keep files, addresses and other users' queries from %s",
  async (user) => {
    for (const sql of [
      "SELECT * FROM file('/etc/passwd', LineAsString)",
      "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
      "SELECT query FROM system.processes",
      "SELECT name FROM system.users",
    ])
      await expect(connect(user).query(sql)).rejects.toThrow(/Not enough privileges/);
  },
);

function connect(username: keyof typeof passwords): Store {
  const store = connectStore({ url: engine.url, username, password: passwords[username], retry_wait_ms: 1_000 });
  stores.push(store);
  return store;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
