/** What an audit reads: of a store in pages, of a log to its end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AuditedLog, readDeadLetters, readPositions } from "@assay/cli/audit/read-log";
import { readStoredParts, windowLength } from "@assay/cli/audit/read-store";
import { auditTable } from "@assay/cli/audit/table";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { connectStore, type Store } from "@assay/store/client";
import { type Engine, startEngine } from "@assay/store/engine";
import { migrate } from "@assay/store/migrate";

const now = Date.now();
const day_ms = 86_400_000;
const codec = new Codec(folderIds());

describe("a store", () => {
  let directory: string;
  let engine: Engine;
  let store: Store;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "assay-audit-"));
    const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
    engine = await startEngine({ directory, logger: silent });
    store = connectStore(engine);
    await migrate(store);
  });

  afterAll(async () => {
    await store.close();
    await engine.stop();
    rmSync(directory, { recursive: true });
  });

  const columns = [
    "host_id",
    "window_start",
    "window_end",
    "incarnation",
    "seq_from",
    "seq_to",
    "closed_by",
    "windowed",
    "received_through",
  ];
  async function write(token: string, parts: readonly { host: string; window: number; seq: number; length_ms?: number }[]) {
    const rows = parts.map(({ host, window, seq, length_ms = 60_000 }) => {
      return [host, window, window + length_ms, 1, seq, seq, "complete", { processes: 1 }, window + length_ms];
    });
    await store.insertBlock({ table: "assay.coverage", columns, rows, token });
  }

  test("is read in pages that what is written meanwhile doesn't move, a part that stands there twice twice", async () => {
    const start = Math.floor(now / 60_000) * 60_000;
    const parts = ["a", "b", "c"].flatMap((host) => [1, 2, 3].map((seq) => ({ host, window: start - seq * 60_000, seq })));
    await write("one", parts);
    await write("two", [parts[4] as (typeof parts)[number]]);
    await write("old", [{ host: "a", window: start - 3 * day_ms, seq: 1, length_ms: 10_000 }]);
    let pages = 0;
    const between: Pick<Store, "query"> = {
      async query<R>(sql: string, params = {}) {
        // Before all that has been read.
        if (pages++ > 0) await write(`later ${pages}`, [{ host: "0", window: start - pages * 60_000, seq: pages }]);
        return store.query<R>(sql, params);
      },
    };
    const read = await readStoredParts(between, now, 2);
    expect(pages).toBeGreaterThan(4);
    const names = read.map(({ host_id, seq_to }) => `${host_id}${seq_to}`);
    expect(names).toEqual(["a3", "a2", "a1", "b3", "b2", "b2", "b1", "c3", "c2", "c1"]);
    expect(read[0]).toMatchObject({ received_through: start - 2 * 60_000, windowed: { processes: 1 } });
  });

  test("says how long its windows are, of those that are audited", async () => {
    expect(await windowLength(store, now)).toBe(60_000);
    await write("short", [{ host: "z", window: now - 60_000, seq: 1, length_ms: 10_000 }]);
    await expect(windowLength(store, now)).rejects.toThrow("windows of different lengths: 10000 ms, 60000 ms");
  });
});

describe("a log", () => {
  const log = (more: Partial<AuditedLog>): AuditedLog => ({
    partitions: () => 1,
    partitionOf: () => 0,
    bounds: async () => ({ earliest: 0, end: 3 }),
    read: async () => [],
    committed: async () => undefined,
    ...more,
  });

  test("that gives less than it has is no log to audit, unless it has dropped it meanwhile", async () => {
    await expect(readDeadLetters(log({}), codec)).rejects.toThrow(
      "assay.dead-letters, partition 0, ends at 3, and nothing could be read from 0 on",
    );
    const bounds = [
      { earliest: 0, end: 3 },
      { earliest: 3, end: 3 },
    ];
    const emptied = log({ bounds: async () => bounds.shift() ?? { earliest: 3, end: 3 } });
    expect((await readDeadLetters(emptied, codec)).of_telemetry.size).toBe(0);
  });

  test("of which a group has committed nothing is told with the verdict", async () => {
    const { strangers } = await readPositions(
      log({ committed: async (group) => (group === "assay-host-windows" ? { offset: 2, note: "" } : undefined) }),
    );
    expect(strangers).toEqual([
      `assay-evaluate-host-windows has committed nothing of ${topics.hostWindows.name}, which has records`,
    ]);
    const { strangers: none } = await readPositions(log({ bounds: async () => ({ earliest: 4, end: 4 }) }));
    expect(none).toEqual([]);
    const report = {
      audited_at: "",
      rows: [],
      problems: [],
      windows_left_out: 0,
      agent_dropped_batches: {},
      telemetry_from: null,
      partitions_cut: { cut: 0, of: 1 },
      refused: {},
      replayed: {},
      strangers,
    };
    expect(auditTable(report)).toMatch(
      /warning: assay-evaluate-host-windows has committed nothing of .*\nEverything adds up\.\n$/,
    );
  });
});
