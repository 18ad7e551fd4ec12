/** What an assessment's hosts showed in its period. */
import { type AssessmentScope, scopeParams } from "./finding-filters";
import { instant, ms, read, type Store } from "./read";
import { windowSums } from "./window-sums";

/** One row per host with a window that the assessment covered; by host id. Times in milliseconds since 1970. */
export interface HostCoverageRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly windows: number;
  readonly covered_ms: number;
  readonly late_parts: number;
  readonly last_window_end_ms: number;
  readonly events: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
}

/** Parts of a window cover different stretches of it, but together never more than the window. */
export function coverageOfAssessment(store: Store, scope: AssessmentScope): Promise<HostCoverageRow[]> {
  const sql = `SELECT host_id, any(c.host_name) AS host_name,
  ${windowSums},
  ${ms("max(window_end)")} AS last_window_end_ms
FROM assay.coverage AS c
WHERE window_start >= ${instant("a_begins")} AND window_start < ${instant("a_ends")} AND has(assessments, {a_id:String})
GROUP BY host_id
ORDER BY host_id`;
  return read<HostCoverageRow>(store, sql, scopeParams(scope));
}

/** The tags that a host had in its last window of a range: how selectors saw it. */
export interface HostTagsRow {
  readonly host_id: string;
  readonly tags: Readonly<Record<string, string>>;
}

export function tagsWithin(store: Store, from: number, to: number): Promise<HostTagsRow[]> {
  const sql = `SELECT host_id, argMax(tags, window_start) AS tags
FROM assay.coverage
WHERE window_start >= ${instant("from")} AND window_start < ${instant("to")}
GROUP BY host_id`;
  return read<HostTagsRow>(store, sql, { from, to });
}

/** When a host's inventory was last collected, whatever the section. */
export interface InventoryTimeRow {
  readonly host_id: string;
  readonly collected_at_ms: number;
}

export function inventoryTimes(store: Store, host_ids: readonly string[]): Promise<InventoryTimeRow[]> {
  const sql = `SELECT host_id, ${ms("max(collected_at)")} AS collected_at_ms
FROM assay.inventory_sections FINAL
WHERE host_id IN {host_ids:Array(String)}
GROUP BY host_id`;
  return read<InventoryTimeRow>(store, sql, { host_ids });
}
