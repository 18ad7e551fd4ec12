/** Counts of findings by what they have in common. */
import type { AggregationKey } from "../schemas/finding";
import { type AssessmentScope, type FindingFilters, whereFindings } from "./finding-filters";
import { read, type Store } from "./read";

/** One group, those with most findings first. */
export interface AggregationRow {
  readonly key: string;
  readonly label: string;
  readonly findings: number;
  readonly occurrences: number;
}

export async function aggregateFindings(
  store: Store,
  by: AggregationKey,
  filters: FindingFilters,
  scope: AssessmentScope | undefined,
  rows_max: number,
): Promise<AggregationRow[]> {
  const where = whereFindings(filters, scope);
  const { key, label } = groups[by];
  const sql = `SELECT group_key AS key, ${label} AS label, count() AS findings, sum(group_occurrences) AS occurrences
FROM (
  SELECT ${key} AS group_key, title, host_name, occurrences AS group_occurrences
  FROM assay.findings FINAL
  WHERE ${where.sql}
)
GROUP BY group_key
ORDER BY findings DESC, key
LIMIT {rows_max:UInt32}`;
  return read<AggregationRow>(store, sql, { ...where.params, rows_max });
}

/** How many findings fit. */
export async function countFindings(store: Store, filters: FindingFilters, scope: AssessmentScope | undefined): Promise<number> {
  const where = whereFindings(filters, scope);
  const sql = `SELECT count() AS findings FROM assay.findings FINAL WHERE ${where.sql}`;
  return (await read<{ findings: number }>(store, sql, where.params))[0]?.findings ?? 0;
}

/** A finding counts once in each application of its host; in none where it has none. */
const groups: Readonly<Record<AggregationKey, { key: string; label: string }>> = {
  severity: { key: "toString(severity)", label: "key" },
  rule: { key: "toString(rule_id)", label: "any(title)" },
  package: { key: "toString(package)", label: "key" },
  host: { key: "toString(host_id)", label: "any(host_name)" },
  application: {
    key: "toString(arrayJoin(arrayDistinct(if(application_id = '', applications, arrayPushBack(applications, application_id)))))",
    label: "key",
  },
};
