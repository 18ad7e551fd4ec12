/** Outcomes: rows on transition, read as a step function over time. */
import type { SortKey } from "../http/page";
import { instant, ms, read, type Store } from "./read";

/** The outcome that held at a time, of one rule on one host or application. */
export interface OutcomeRow {
  readonly rule_id: string;
  readonly package: string;
  readonly host_id: string;
  readonly application_id: string;
  readonly outcome: string;
  readonly reason: string;
  readonly as_of_ms: number;
  readonly late: number;
}

/** Of a group of rows (of assay.outcomes AS o), the newest; a late one before another of the same time. */
const latest = `argMax(o.outcome, (o.as_of, o.late)) AS outcome, argMax(o.reason, (o.as_of, o.late)) AS reason,
  ${ms("max(o.as_of)")} AS as_of_ms, argMax(o.late, (o.as_of, o.late)) AS late`;

/** Of these subjects, rules of event and state scope, as of a time. */
export function outcomesAsOf(store: Store, subjects: Subjects, at: number): Promise<OutcomeRow[]> {
  const sql = `SELECT rule_id, any(o.package) AS package, host_id, application_id, ${latest}
FROM assay.outcomes AS o
WHERE ${ofSubjects} AND period_start IS NULL AND as_of <= ${instant("at")}
GROUP BY host_id, application_id, rule_id`;
  return read<OutcomeRow>(store, sql, { ...subjects, at });
}

/** Rules of assessment scope: of the period that began at one of [begins_from, begins_to], the newest within that. */
export function outcomesOfPeriod(
  store: Store,
  subjects: Subjects,
  begins_from: number,
  begins_to: number,
): Promise<OutcomeRow[]> {
  const sql = `SELECT rule_id, any(o.package) AS package, host_id, application_id, ${latest}
FROM assay.outcomes AS o
WHERE ${ofSubjects} AND period_start >= ${instant("begins_from")} AND period_start <= ${instant("begins_to")}
  AND as_of >= ${instant("begins_from")}
GROUP BY host_id, application_id, rule_id`;
  return read<OutcomeRow>(store, sql, { ...subjects, begins_from, begins_to });
}

/** When a rule last matched in a period. Matches of flow rules on a host count within the application that the finding names. */
export interface MatchRow {
  readonly rule_id: string;
  readonly host_id: string;
  readonly application_id: string;
  readonly last_ms: number;
  readonly late: number;
}

export function matchesIn(store: Store, subjects: Subjects, begins_at: number, ends_at: number): Promise<MatchRow[]> {
  const sql = `SELECT rule_id, host_id, if(finding_id IN (
    SELECT finding_id FROM assay.findings
    WHERE category = 'flow' AND host_id IN {host_ids:Array(String)} AND has(applications, {application_id:String})
  ), {application_id:String}, toString(a.application_id)) AS application_id,
  ${ms("max(until)")} AS last_ms, min(a.late) AS late
FROM assay.finding_activity AS a
WHERE host_id IN {host_ids:Array(String)} AND a.application_id IN ('', {application_id:String})
  AND at >= ${instant("begins_at")} AND at < ${instant("ends_at")}
GROUP BY rule_id, host_id, application_id`;
  return read<MatchRow>(store, sql, { ...subjects, begins_at, ends_at });
}

/** Hosts, "" for the application itself; outcomes of hosts alone, and those of hosts within the application. */
export interface Subjects {
  readonly host_ids: readonly string[];
  readonly application_id: string;
}

const ofSubjects = "host_id IN {host_ids:Array(String)} AND application_id IN ('', {application_id:String})";

/** What holds now, by host, application and rule; `after`: [host_id, application_id, rule_id]. Empty lists: all. */
export function currentOutcomes(
  store: Store,
  filters: { hosts: readonly string[]; rules: readonly string[]; outcomes: readonly string[] },
  after: SortKey | undefined,
  rows_max: number,
): Promise<OutcomeRow[]> {
  const beyond = after
    ? "AND (host_id, application_id, rule_id) > ({after_host:String}, {after_application:String}, {after_rule:String})"
    : "";
  const sql = `SELECT rule_id, any(o.package) AS package, host_id, application_id, ${latest}
FROM assay.outcomes AS o
WHERE (empty({hosts:Array(String)}) OR host_id IN {hosts:Array(String)})
  AND (empty({rules:Array(String)}) OR rule_id IN {rules:Array(String)})
  ${beyond}
GROUP BY host_id, application_id, rule_id
HAVING empty({outcomes:Array(String)}) OR outcome IN {outcomes:Array(String)}
ORDER BY host_id, application_id, rule_id
LIMIT {rows_max:UInt32}`;
  const [after_host = "", after_application = "", after_rule = ""] = after ?? [];
  return read<OutcomeRow>(store, sql, { ...filters, rows_max, after_host, after_application, after_rule });
}
