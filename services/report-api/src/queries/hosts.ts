/** Hosts, from their coverage and inventory. Each takes at most a page of host ids. */
import { instant, ms, read, type Store } from "./read";
import { windowSums } from "./window-sums";

/** Ids of hosts that have ever had a window, after one, in order: the table's own, so reading stops at the limit. */
export async function observedHostIds(store: Store, after: string, rows_max: number): Promise<string[]> {
  const sql = `SELECT DISTINCT host_id AS id
FROM assay.coverage_hourly
WHERE host_id > {after:String}
ORDER BY host_id
LIMIT {rows_max:UInt32}`;
  return (await read<{ id: string }>(store, sql, { after, rows_max })).map((row) => row.id);
}

/** A host's last window; times in milliseconds since 1970. */
export interface LastWindowRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly applications: readonly string[];
  readonly collectors: Readonly<Record<string, string>>;
  readonly last_window_end_ms: number;
  /** When the last of what closed its windows was received. */
  readonly received_through_ms: number;
}

/** The hour of the last window comes from the rollup, so that one hour of windows is read for each host. */
export function lastWindows(store: Store, host_ids: readonly string[]): Promise<LastWindowRow[]> {
  const sql = `SELECT host_id,
  argMax(host_name, (window_start, seq_to)) AS host_name,
  argMax(agent_version, (window_start, seq_to)) AS agent_version,
  argMax(tags, (window_start, seq_to)) AS tags,
  argMax(applications, (window_start, seq_to)) AS applications,
  argMax(collectors, (window_start, seq_to)) AS collectors,
  ${ms("max(window_end)")} AS last_window_end_ms,
  ${ms("max(received_through)")} AS received_through_ms
FROM assay.coverage
WHERE host_id IN {host_ids:Array(String)}
  AND (host_id, toStartOfHour(toDateTime(window_start))) IN (
    SELECT host_id, max(hour) FROM assay.coverage_hourly WHERE host_id IN {host_ids:Array(String)} GROUP BY host_id
  )
GROUP BY host_id`;
  return read<LastWindowRow>(store, sql, { host_ids });
}

/** A host's coverage over a range. */
export interface RangeCoverageRow {
  readonly host_id: string;
  readonly windows: number;
  readonly covered_ms: number;
  readonly late_parts: number;
  readonly first_window_start_ms: number;
  readonly events: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
  readonly drop_reasons: Readonly<Record<string, number>>;
}

export function coverageWithin(store: Store, host_ids: readonly string[], from: number, to: number): Promise<RangeCoverageRow[]> {
  const sql = `SELECT host_id,
  ${windowSums}, sumMap(c.drop_reasons) AS drop_reasons,
  ${ms("min(c.window_start)")} AS first_window_start_ms
FROM assay.coverage AS c
WHERE host_id IN {host_ids:Array(String)} AND window_start >= ${instant("from")} AND window_start < ${instant("to")}
GROUP BY host_id`;
  return read<RangeCoverageRow>(store, sql, { host_ids, from, to });
}

/** A section's last known state; content only of section os. */
export interface SectionRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly section: string;
  readonly status: string;
  readonly reason: string;
  readonly collected_at_ms: number;
  readonly os_content: string;
}

export function inventorySections(store: Store, host_ids: readonly string[]): Promise<SectionRow[]> {
  const sql = `SELECT host_id, host_name, section, status, reason, ${ms("collected_at")} AS collected_at_ms,
  if(section = 'os', content, '') AS os_content
FROM assay.inventory_sections FINAL
WHERE host_id IN {host_ids:Array(String)}
ORDER BY host_id, section`;
  return read<SectionRow>(store, sql, { host_ids });
}

/** Names as last told, by inventory or a finding. */
export function lastNames(store: Store, host_ids: readonly string[]): Promise<{ host_id: string; host_name: string }[]> {
  const sql = `SELECT host_id, argMax(host_name, at) AS host_name
FROM (
  SELECT host_id, host_name, collected_at AS at FROM assay.inventory_sections WHERE host_id IN {host_ids:Array(String)}
  UNION ALL
  SELECT host_id, host_name, last_seen AS at FROM assay.findings WHERE host_id IN {host_ids:Array(String)}
)
GROUP BY host_id`;
  return read(store, sql, { host_ids });
}
