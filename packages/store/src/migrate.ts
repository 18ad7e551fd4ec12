/**
 * Brings the store's tables up to date: the numbered files of migrations/, each applied once, in order, and noted in assay.migrations with
 * its checksum. Files are never edited after they went out; an edited one is refused.
 *
 * Two migrators at once, or one that died in between, do no harm: each statement of a file can be repeated.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "./client";
import { statements } from "./statements";

/** Returns the names of the files that were applied now. */
export async function migrate(store: Store, directory: string = migrationsDirectory()): Promise<readonly string[]> {
  const migrations = readMigrations(directory);
  await store.command("CREATE DATABASE IF NOT EXISTS assay");
  await store.command(migrations_table);
  const applied = await store.query<AppliedMigration>(
    "SELECT number, name, checksum FROM assay.migrations FINAL ORDER BY number",
  );
  const by_number = new Map(applied.map((row) => [row.number, row]));
  refuseUnknown(migrations, applied);
  const done: string[] = [];
  for (const migration of migrations) {
    const before = by_number.get(migration.number);
    if (before !== undefined) {
      refuseEdited(migration, before);
      continue;
    }
    // On a cluster each statement would get ON CLUSTER and its engine the Replicated prefix here.
    for (const statement of statements(migration.sql)) await store.command(statement);
    await store.insertBlock({
      table: "assay.migrations",
      columns: ["number", "name", "checksum", "applied_at"],
      rows: [[migration.number, migration.name, migration.checksum, Date.now()]],
      token: `migration-${migration.number}-${migration.checksum}`,
    });
    done.push(migration.name);
  }
  return done;
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

const migrations_table = `CREATE TABLE IF NOT EXISTS assay.migrations
(
    number     UInt32,
    name       String,
    checksum   String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1`;

/** Beside src/ and dist/ alike. */
function migrationsDirectory(): string {
  return join(__dirname, "../migrations");
}

function readMigrations(directory: string): readonly Migration[] {
  if (!existsSync(directory)) throw new Error(`the folder of migrations ${directory} is missing`);
  const names = readdirSync(directory).filter((name) => name.endsWith(".sql"));
  names.sort();
  return names.map((name, index) => {
    const number = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]);
    if (number !== index + 1) {
      throw new Error(`${name} in ${directory}: expected a file named ${String(index + 1).padStart(4, "0")}_<what_it_does>.sql`);
    }
    const sql = readFileSync(join(directory, name), "utf8");
    return { number, name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
  });
}

function refuseEdited(migration: Migration, applied: AppliedMigration): void {
  if (migration.checksum === applied.checksum) return;
  throw new Error(
    `${migration.name} was applied as ${applied.name} with checksum ${applied.checksum} and now has ${migration.checksum}: an applied migration must not be edited, add a new one`,
  );
}

/** An older version must not write into tables of a newer one. */
function refuseUnknown(migrations: readonly Migration[], applied: readonly AppliedMigration[]): void {
  const newest = applied.at(-1);
  if (newest === undefined || newest.number <= migrations.length) return;
  throw new Error(
    `the store was migrated to ${newest.name} by a newer version; this one knows ${migrations.length} migrations. Run the newer version`,
  );
}
