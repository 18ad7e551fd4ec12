/** When findings were seen. */
import { type AssessmentScope, scopeParams } from "./finding-filters";
import type { FindingRow } from "./findings";
import { instant, ms, read, type Store } from "./read";

/** One row per time that the finding was seen, the newest first; times in milliseconds since 1970. */
export interface ActivityRow {
  readonly at_ms: number;
  readonly until_ms: number;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly occurrences: number;
  readonly late: number;
  readonly evidence: string;
}

/** How far back from when it was last seen, so that older partitions aren't read. */
export const activity_days_max = 30;

export function recentActivity(
  store: Store,
  finding: Pick<FindingRow, "finding_id" | "rule_id" | "host_id" | "last_seen_ms">,
  rows_max: number,
): Promise<ActivityRow[]> {
  const { finding_id, rule_id, host_id, last_seen_ms: last_seen } = finding;
  const sql = `SELECT ${ms("at")} AS at_ms, ${ms("until")} AS until_ms, ${ms("first")} AS first_ms, ${ms("last")} AS last_ms,
  occurrences, late, evidence
FROM assay.finding_activity
WHERE at >= ${instant("last_seen")} - INTERVAL ${activity_days_max} DAY
  AND rule_id = {rule_id:String} AND host_id = {host_id:String} AND finding_id = {finding_id:String}
ORDER BY at DESC, until DESC
LIMIT {rows_max:UInt32}`;
  return read<ActivityRow>(store, sql, { finding_id, rule_id, host_id, last_seen, rows_max });
}

/** What one finding did in an assessment's period. */
export interface PeriodActivityRow {
  readonly finding_id: string;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly occurrences: number;
  readonly evidence: string;
}

/** One row per finding among these that was seen in the period. */
export function activityInPeriod(
  store: Store,
  scope: AssessmentScope,
  finding_ids: readonly string[],
): Promise<PeriodActivityRow[]> {
  const sql = `SELECT finding_id, ${ms("min(first)")} AS first_ms, ${ms("max(last)")} AS last_ms,
  sum(occurrences) AS occurrences, argMax(evidence, (until, at)) AS evidence
FROM assay.finding_activity
WHERE at >= ${instant("a_begins")} AND at < ${instant("a_ends")} AND finding_id IN {finding_ids:Array(String)}
GROUP BY finding_id`;
  return read<PeriodActivityRow>(store, sql, { ...scopeParams(scope), finding_ids });
}
