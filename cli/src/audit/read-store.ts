/** The store's side of an audit: one row per part of a host window, in pages. */
import { telemetryKinds } from "@assay/schemas/kinds";
import type { Store } from "@assay/store/client";
import type { StoredPart } from "./part";
import { type KindCounts, noCounts } from "./recount";

interface Row {
  readonly host_id: string;
  readonly window_start: number;
  readonly incarnation: number;
  readonly seq_from: number;
  readonly seq_to: number;
  readonly closed_by: string;
  readonly received_through: number;
  readonly windowed: Readonly<Record<string, number>>;
  readonly folded: Readonly<Record<string, number>>;
  readonly duplicates: Readonly<Record<string, number>>;
}

/** Telemetry is kept for a day; parts received and ended earlier than this have no batch left in the topic. */
const stored_behind_ms = 2 * 86_400_000;
/** With room for parts of the same place, which a page never parts, below what one query may bring. */
const page_rows = 50_000;

const audited =
  "(received_through >= fromUnixTimestamp64Milli({from: Int64}) OR window_end >= fromUnixTimestamp64Milli({from: Int64}))";
const place = "host_id, window_start, incarnation, seq_to, seq_from, closed_by";
const last_place =
  "{host_id: String}, fromUnixTimestamp64Milli({window_start: Int64}), {incarnation: UInt64}, {seq_to: UInt64}, {seq_from: UInt64}, {closed_by: String}";

/**
 * Parts of windows in which kept telemetry may have a share. Pages go on after the last place that was read, so that what is written meanwhile
 * moves nothing; a part that was written twice comes twice.
 */
export async function readStoredParts(
  store: Pick<Store, "query">,
  now: number,
  rows_per_page = page_rows,
): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  let last: Row | undefined;
  for (;;) {
    const rows: readonly Row[] = await store.query<Row>(
      `SELECT ${place}, received_through, windowed, folded, duplicates
       FROM assay.coverage
       WHERE ${audited}${last ? ` AND (${place}) > (${last_place})` : ""}
       ORDER BY ${place}
       LIMIT {limit: UInt64} WITH TIES`,
      { from: now - stored_behind_ms, limit: rows_per_page, ...(last ? placeOf(last) : {}) },
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
    last = rows.at(-1);
    if (rows.length < rows_per_page) return parts;
  }
}

function placeOf({ host_id, window_start, incarnation, seq_to, seq_from, closed_by }: Row) {
  return { host_id, window_start, incarnation, seq_to, seq_from, closed_by };
}

/** ms, of every window of these parts; undefined where there are none. Throws where they differ: then nothing can be recounted. */
export async function windowLength(store: Pick<Store, "query">, now: number): Promise<number | undefined> {
  const lengths = await store.query<{ readonly length: number }>(
    `SELECT DISTINCT toUnixTimestamp64Milli(window_end) - toUnixTimestamp64Milli(window_start) AS length
     FROM assay.coverage WHERE ${audited} ORDER BY length LIMIT 3`,
    { from: now - stored_behind_ms },
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
