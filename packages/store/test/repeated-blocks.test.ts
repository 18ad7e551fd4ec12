import { appendFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Store } from "../src/client";
import type { Engine } from "../src/engine";
import { migrate } from "../src/migrate";
import { activity, blockOf, noon } from "./activity";
import { pidOf, TemporaryEngines, until } from "./temporary-engine";

let engines: TemporaryEngines;
let directory: string;
let engine: Engine;
let store: Store;

beforeAll(async () => {
  engines = new TemporaryEngines();
  directory = engines.directory();
  engine = await engines.start({ directory });
  store = engines.connect(engine);
  await migrate(store);
});
afterAll(() => engines.endAll());

describe("a block with the same token", () => {
  const block = blockOf("finding_activity", [activity(0), activity(1)], "b1");
  const coverage = blockOf(
    "coverage",
    [{ host_id: "h1", window_start: noon, closed_by: "complete", windowed: { process: 3 } }],
    "c1",
  );

  beforeEach(async () => {
    for (const table of ["finding_activity", "finding_activity_hourly", "coverage", "coverage_hourly"]) {
      await store.command(`TRUNCATE TABLE assay.${table}`);
      await store.command(`SYSTEM STOP MERGES assay.${table}`);
    }
  });

  it("counts once in the table and behind its view, also after restarts of the engine", async () => {
    for (let i = 0; i < 2; i += 1) await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
    process.kill(pidOf(engine), "SIGKILL");
    await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
    await restart(() => undefined);
    await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
    // The same rows with another token are other rows.
    await store.insertBlock({ ...block, token: "b2" });
    expect(await sums()).toMatchObject({ rows: 4, hourly: 6 });
  });

  it("fills in what is missing after a death between table and view", async () => {
    await insertBoth();
    await takeBack(["finding_activity_hourly", "coverage_hourly"], "part and token");
    expect(await sums()).toEqual({ rows: 2, hourly: 0, coverage: 1, covered: 0 });
    for (let i = 0; i < 2; i += 1) await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
  });

  it("fills in what is missing after a death between a token and its part", async () => {
    await insertBoth();
    await takeBack(["finding_activity", "finding_activity_hourly", "coverage_hourly"], "part");
    expect(await sums()).toEqual({ rows: 0, hourly: 0, coverage: 1, covered: 0 });
    for (let i = 0; i < 2; i += 1) await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
    expect(engines.lines.map((line) => line.fields)).toContainEqual(
      expect.objectContaining({ line: "withdrew 3 deduplication tokens of unfinished inserts" }),
    );
  });

  it("counts once also where thousands of others came in between", async () => {
    await insertBoth();
    await noteOthers(15_000);
    for (let i = 0; i < 2; i += 1) await insertBoth();
    expect(await sums()).toEqual({ rows: 2, hourly: 3, coverage: 1, covered: 3 });
  });

  it("is neither lost nor doubled when the engine is killed while it is inserted", async () => {
    let inserting = true;
    let kills = 0;
    const kill = async (): Promise<void> => {
      while (inserting && kills < 5) {
        // Primes, so that the kills fall at ever other places of an insert.
        await new Promise((resolve) => setTimeout(resolve, 97 + kills * 31));
        if (engine.status().state !== "ready") continue;
        process.kill(pidOf(engine), "SIGKILL");
        kills += 1;
        await until("its death", () => engine.status().state !== "ready");
      }
      inserting = false;
    };
    const killing = kill();
    let blocks = 0;
    while (inserting) {
      blocks += 1;
      const rows = Array.from({ length: 200 }, (_, i) => activity(blocks * 200 + i));
      await store.insertBlock(blockOf("finding_activity", rows, `killed-${blocks}`));
    }
    await killing;
    const sum =
      "SELECT count() AS rows, uniqExact(finding_id) AS ids, sum(occurrences) AS occurrences FROM assay.finding_activity";
    const [row] = await store.query<{ rows: number; ids: number; occurrences: number }>(sum);
    expect(row).toMatchObject({ rows: blocks * 200, ids: blocks * 200 });
    expect(await store.query("SELECT sum(occurrences) AS occurrences FROM assay.finding_activity_hourly")).toEqual([
      { occurrences: row?.occurrences },
    ]);
    expect(kills).toBe(5);
  });

  async function insertBoth(): Promise<void> {
    await store.insertBlock(block);
    await store.insertBlock(coverage);
  }
});

async function sums(): Promise<object | undefined> {
  const [row] = await store.query<object>(`SELECT
    (SELECT count() FROM assay.finding_activity) AS rows,
    (SELECT sum(occurrences) FROM assay.finding_activity_hourly) AS hourly,
    (SELECT count() FROM assay.coverage) AS coverage,
    (SELECT sum(windowed) FROM assay.coverage_hourly) AS covered`);
  return row;
}

async function restart(meanwhile: () => void): Promise<void> {
  await store.close();
  await engine.stop();
  meanwhile();
  engine = await engines.start({ directory });
  store = engines.connect(engine);
}

/** What so many inserts into each of the tables would note after the last one. */
async function noteOthers(count: number): Promise<void> {
  const parts = await store.query<{ path: string; part: string }>(
    `SELECT path, name AS part FROM system.parts WHERE database = 'assay' AND active AND rows > 0
    AND table IN ('finding_activity', 'finding_activity_hourly', 'coverage', 'coverage_hourly')`,
  );
  expect(parts.length).toBe(4);
  await restart(() => {
    for (const { path, part } of parts) {
      const logs = join(dirname(path), "deduplication_logs");
      const newest =
        readdirSync(logs)
          .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
          .at(-1) ?? "";
      const lines = Array.from({ length: count }, (_, i) => `1\t${part}\t${String(i).padStart(32, "0")}\n`);
      appendFileSync(join(logs, newest), lines.join(""));
    }
  });
}

/** Puts the folders of tables back to what a kill would have left: the last insert's part not in place, its token noted or not. */
async function takeBack(tables: readonly string[], what: "part" | "part and token"): Promise<void> {
  const found: { readonly path: string; readonly part: string }[] = [];
  for (const table of tables) {
    const newest = await store.query<{ path: string; part: string }>(
      `SELECT path, name AS part FROM system.parts WHERE database = 'assay' AND table = {table: String} AND active AND rows > 0
      ORDER BY max_block_number DESC LIMIT 1`,
      { table },
    );
    found.push(...newest);
  }
  expect(found.length).toBe(tables.length);
  await restart(() => {
    for (const { path, part } of found) {
      const table = dirname(path);
      renameSync(path, join(table, `tmp_insert_${part}`));
      if (what === "part and token") withdrawToken(join(table, "deduplication_logs"), part);
    }
  });
}

function withdrawToken(logs: string, part: string): void {
  for (const name of readdirSync(logs)) {
    const lines = readFileSync(join(logs, name), "utf8").split("\n");
    writeFileSync(join(logs, name), lines.filter((line) => !line.includes(part)).join("\n"));
  }
}
