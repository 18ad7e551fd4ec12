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
import { onCluster } from "./on-cluster";
import { requireLayout, requireVersion } from "./server";
import { statements } from "./statements";

export interface MigrateOptions {
  /** The name of a ClickHouse cluster of one shard: tables are made on all its replicas, and replicate. Without it: tables of one server. */
  readonly cluster?: string;
  /** Where the numbered files are; the store's own by default. */
  readonly directory?: string;
}

/**
 * Returns the names of the files that were applied now. Its user needs more rights than one who only writes: deploy/clickhouse/users.d/assay.xml
 * has both.
 */
export async function migrate(store: Store, options: MigrateOptions = {}): Promise<readonly string[]> {
  const form = (statement: string): string => (options.cluster === undefined ? statement : onCluster(statement, options.cluster));
  // All of them before the first is applied: what has no form for a cluster is found now.
  const migrations = readMigrations(options.directory, form);
  await requireVersion(store);
  await requireLayout(store, options.cluster);
  await store.command(form("CREATE DATABASE IF NOT EXISTS assay"));
  await store.command(form(migrationsTable));
  const applied = await readApplied(store);
  refuseUnknown(migrations, applied);
  const done: string[] = [];
  for (const migration of missing(migrations, applied)) {
    for (const statement of migration.statements) await store.command(statement);
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

/** The server is there, and doesn't have this version's tables yet. */
export class NotMigratedError extends Error {
  override readonly name = "NotMigratedError";
}

/** For who may write but not migrate: rejects, saying what to do, unless the server is new enough and has this version's tables. */
export async function requireMigrated(store: Store): Promise<void> {
  await requireVersion(store);
  const migrations = readMigrations();
  const tables = await store.query("SELECT name FROM system.tables WHERE database = 'assay' AND name = 'migrations'");
  const applied = tables.length === 0 ? [] : await readApplied(store);
  refuseUnknown(migrations, applied);
  const names = missing(migrations, applied).map((migration) => migration.name);
  if (names.length === 0) return;
  throw new NotMigratedError(`the store's tables lack ${names.join(", ")}: migrate it first, as a user who may (assay setup)`);
}

interface Migration {
  readonly number: number;
  readonly name: string;
  readonly statements: readonly string[];
  readonly checksum: string;
}

interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

export const migrationsTable = `CREATE TABLE IF NOT EXISTS assay.migrations
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

function readMigrations(
  directory: string = migrationsDirectory(),
  form: (statement: string) => string = (statement) => statement,
): readonly Migration[] {
  if (!existsSync(directory)) throw new Error(`the folder of migrations ${directory} is missing`);
  const names = readdirSync(directory).filter((name) => name.endsWith(".sql"));
  names.sort();
  return names.map((name, index) => {
    const number = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]);
    if (number !== index + 1) {
      throw new Error(`${name} in ${directory}: expected a file named ${String(index + 1).padStart(4, "0")}_<what_it_does>.sql`);
    }
    const sql = readFileSync(join(directory, name), "utf8");
    return {
      number,
      name,
      statements: statements(sql).map(form),
      // Of the file, not of its form: moving the files to a cluster changes no checksum.
      checksum: createHash("sha256").update(sql).digest("hex"),
    };
  });
}

function readApplied(store: Store): Promise<readonly AppliedMigration[]> {
  return store.query<AppliedMigration>("SELECT number, name, checksum FROM assay.migrations FINAL ORDER BY number");
}

function missing(migrations: readonly Migration[], applied: readonly AppliedMigration[]): readonly Migration[] {
  const by_number = new Map(applied.map((row) => [row.number, row]));
  return migrations.filter((migration) => {
    const before = by_number.get(migration.number);
    if (before !== undefined) refuseEdited(migration, before);
    return before === undefined;
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
