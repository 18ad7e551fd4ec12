/** Findings, as a list that is cut by a sort key. */

import type { SortKey } from "../http/page";
import type { FindingSort } from "../schemas/finding";
import { type AssessmentScope, type FindingFilters, whereFindings } from "./finding-filters";
import { ms, read, type Store } from "./read";

/** One finding's current state; times in milliseconds since 1970. */
export interface FindingRow {
  readonly finding_id: string;
  readonly rule_id: string;
  readonly package: string;
  readonly category: string;
  readonly severity: string;
  readonly severity_rank: number;
  readonly title: string;
  readonly host_id: string;
  readonly host_name: string;
  readonly application_id: string;
  readonly applications: readonly string[];
  readonly identity: Readonly<Record<string, string>>;
  readonly status: string;
  readonly status_reason: string;
  readonly first_seen_ms: number;
  readonly last_seen_ms: number;
  readonly resolved_at_ms: number | null;
  readonly occurrences: number;
  readonly late: number;
}

export interface FindingWithEvidence extends FindingRow {
  readonly evidence: string;
}

export interface FindingList {
  readonly filters: FindingFilters;
  readonly scope: AssessmentScope | undefined;
  readonly sort: FindingSort;
  readonly order: "asc" | "desc";
  /** The sort key of the row after which to begin: [sort's value, finding_id]. */
  readonly after: SortKey | undefined;
  readonly rows_max: number;
}

export function listFindings(store: Store, list: FindingList): Promise<FindingRow[]> {
  return select<FindingRow>(store, list, columns);
}

export function listFindingsWithEvidence(store: Store, list: FindingList): Promise<FindingWithEvidence[]> {
  return select<FindingWithEvidence>(store, list, `${columns},\n  evidence`);
}

/** One finding with its evidence; undefined where there is none. */
export async function findFinding(store: Store, id: string): Promise<FindingWithEvidence | undefined> {
  const sql = `SELECT ${columns},\n  evidence\nFROM assay.findings FINAL\nWHERE finding_id = {id:String}`;
  return (await read<FindingWithEvidence>(store, sql, { id }))[0];
}

export function sortKeyOf(row: FindingRow, sort: FindingSort): SortKey {
  return [row[sorts[sort].column], row.finding_id];
}

function select<T>(store: Store, list: FindingList, what: string): Promise<T[]> {
  const where = whereFindings(list.filters, list.scope);
  const key = sorts[list.sort].sql;
  const beyond = list.order === "asc" ? ">" : "<";
  const after = list.after ? `AND (${key}, finding_id) ${beyond} ({after_value:Int64}, {after_id:String})` : "";
  const direction = list.order === "asc" ? "ASC" : "DESC";
  const sql = `SELECT ${what}
FROM assay.findings FINAL
WHERE ${where.sql}
  ${after}
ORDER BY ${key} ${direction}, finding_id ${direction}
LIMIT {rows_max:UInt32}`;
  const [after_value = 0, after_id = ""] = list.after ?? [];
  return read<T>(store, sql, { ...where.params, rows_max: list.rows_max, after_value, after_id });
}

/** Each as a whole number, so that a cursor holds it exactly. */
const sorts: Readonly<
  Record<FindingSort, { sql: string; column: "severity_rank" | "first_seen_ms" | "last_seen_ms" | "occurrences" }>
> = {
  severity: { sql: "toInt64(severity_rank)", column: "severity_rank" },
  first_seen: { sql: ms("first_seen"), column: "first_seen_ms" },
  last_seen: { sql: ms("last_seen"), column: "last_seen_ms" },
  occurrences: { sql: "toInt64(occurrences)", column: "occurrences" },
};

const columns = `finding_id, rule_id, package, category, severity, severity_rank, title, host_id, host_name,
  application_id, applications, identity, status, status_reason,
  ${ms("first_seen")} AS first_seen_ms,
  ${ms("last_seen")} AS last_seen_ms,
  ${ms("resolved_at")} AS resolved_at_ms,
  occurrences, late`;
