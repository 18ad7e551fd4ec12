/** Totals of the installation, from the rollups. */
import { instant, ms, read, type Store } from "./read";

/** One row. */
export interface TotalsRow {
  readonly windows: number;
  readonly supplements: number;
  readonly events: number;
  readonly dropped: number;
}

export async function totals(store: Store): Promise<TotalsRow> {
  const sql = `SELECT sum(windows) AS windows, sum(supplements) AS supplements, sum(windowed) AS events, sum(dropped) AS dropped
FROM assay.coverage_hourly`;
  return (await read<TotalsRow>(store, sql, {}))[0] ?? { windows: 0, supplements: 0, events: 0, dropped: 0 };
}

/** One row: hosts ever observed, those that closed a window lately, and the end of the last window (0 for none). */
export interface HostTotalsRow {
  readonly observed: number;
  readonly active: number;
  readonly last_window_end_ms: number;
}

/** `received_since`: what makes a host active. Windows older than `windows_since` aren't looked at for that. */
export async function hostTotals(store: Store, received_since: number, windows_since: number): Promise<HostTotalsRow> {
  const sql = `SELECT
  (SELECT uniqExact(host_id) FROM assay.coverage_hourly) AS observed,
  uniqExactIf(host_id, received_through >= ${instant("received_since")}) AS active,
  ${ms("max(window_end)")} AS last_window_end_ms
FROM assay.coverage
WHERE window_start >= ${instant("windows_since")}`;
  return (
    (await read<HostTotalsRow>(store, sql, { received_since, windows_since }))[0] ?? {
      observed: 0,
      active: 0,
      last_window_end_ms: 0,
    }
  );
}
