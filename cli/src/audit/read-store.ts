/** The store's side of an audit: one row per part of a host window, in pages. */
import { telemetryKinds } from "@assay/schemas/kinds";
import { query_rows_max, type Store } from "@assay/store/client";
import type { StoredPart } from "./account";
import { type KindCounts, noCounts } from "./recount";

interface Row {
  readonly host_id: string;
  readonly window_start: number;
  readonly incarnation: number;
  readonly seq_from: number;
  readonly seq_to: number;
  readonly closed_by: string;
  readonly windowed: Readonly<Record<string, number>>;
  readonly folded: Readonly<Record<string, number>>;
  readonly duplicates: Readonly<Record<string, number>>;
}

/** Parts that end after `from`, ms: of windows in which kept telemetry may have a share. */
export async function readStoredParts(store: Store, from: number): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  for (let offset = 0; ; offset += query_rows_max) {
    const rows = await store.query<Row>(
      `SELECT host_id, window_start, incarnation, seq_from, seq_to, closed_by, windowed, folded, duplicates
       FROM assay.coverage
       WHERE received_through >= fromUnixTimestamp64Milli({from: Int64}) OR window_end >= fromUnixTimestamp64Milli({from: Int64})
       ORDER BY host_id, window_start, incarnation, seq_to, seq_from, closed_by
       LIMIT {limit: UInt64} OFFSET {offset: UInt64}`,
      { from, limit: query_rows_max, offset },
    );
    for (const row of rows) {
      parts.push({
        ...row,
        closed_by: row.closed_by === "silent" || row.closed_by === "supplement" ? row.closed_by : "complete",
        windowed: counts(row.windowed),
        folded: counts(row.folded),
        duplicates: counts(row.duplicates),
      });
    }
    if (rows.length < query_rows_max) return parts;
  }
}

/** ms, of every window that the store has; undefined where it has none. Throws where they differ: then nothing can be recounted. */
export async function windowLength(store: Store): Promise<number | undefined> {
  const lengths = await store.query<{ readonly length: number }>(
    `SELECT DISTINCT toUnixTimestamp64Milli(window_end) - toUnixTimestamp64Milli(window_start) AS length
     FROM assay.coverage ORDER BY length LIMIT 3`,
  );
  if (lengths.length > 1) {
    const shown = lengths.map(({ length }) => `${length} ms`).join(", ");
    throw new Error(`the store has windows of different lengths: ${shown}; every correlator must have the same ASSAY_WINDOW_MS`);
  }
  return lengths[0]?.length;
}

function counts(map: Readonly<Record<string, number>>): KindCounts {
  const all = noCounts();
  for (const kind of telemetryKinds) all[kind] = Number(map[kind] ?? 0);
  return all;
}
