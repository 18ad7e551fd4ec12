/** The WHERE of every query over findings: fixed fragments, chosen by which filters are given. */
import type { FindingStatus } from "../schemas/finding";
import { instant, type Params } from "./read";

export interface FindingFilters {
  readonly severity?: readonly string[] | undefined;
  readonly rule?: readonly string[] | undefined;
  readonly package?: readonly string[] | undefined;
  readonly host?: readonly string[] | undefined;
  readonly application?: readonly string[] | undefined;
  readonly status?: readonly FindingStatus[] | undefined;
  readonly first_seen_from?: number | undefined;
  readonly first_seen_to?: number | undefined;
  readonly last_seen_from?: number | undefined;
  readonly last_seen_to?: number | undefined;
  readonly late?: boolean | undefined;
  readonly text?: string | undefined;
}

/** The part of an assessment that its findings are drawn from. Times: milliseconds since 1970, [begins_at, ends_at). */
export interface AssessmentScope {
  readonly assessment_id: string;
  readonly application_id: string;
  /** Empty: every package. */
  readonly packages: readonly string[];
  readonly begins_at: number;
  readonly ends_at: number;
}

export interface Where {
  readonly sql: string;
  readonly params: Params;
}

export function whereFindings(filters: FindingFilters, scope: AssessmentScope | undefined): Where {
  const conditions = (Object.keys(fragments) as (keyof FindingFilters)[])
    .filter((name) => filters[name] !== undefined)
    .map((name) => fragments[name]);
  const params: Record<string, Params[string]> = {};
  for (const [name, value] of Object.entries(filters)) {
    if (value !== undefined) params[`f_${name}`] = typeof value === "boolean" ? Number(value) : value;
  }
  if (scope) {
    conditions.push(inAssessment);
    if (scope.packages.length > 0) conditions.push("package IN {a_packages:Array(String)}");
    Object.assign(params, scopeParams(scope));
  }
  return { sql: conditions.length > 0 ? conditions.join("\n  AND ") : "1", params };
}

export function scopeParams(scope: AssessmentScope): Params {
  return {
    a_id: scope.assessment_id,
    a_application: scope.application_id,
    a_packages: scope.packages,
    a_begins: scope.begins_at,
    a_ends: scope.ends_at,
  };
}

const fragments: Readonly<Record<keyof FindingFilters, string>> = {
  severity: "severity IN {f_severity:Array(String)}",
  rule: "rule_id IN {f_rule:Array(String)}",
  package: "package IN {f_package:Array(String)}",
  host: "host_id IN {f_host:Array(String)}",
  application: "(application_id IN {f_application:Array(String)} OR hasAny(applications, {f_application:Array(String)}))",
  status: "status IN {f_status:Array(String)}",
  first_seen_from: `first_seen >= ${instant("f_first_seen_from")}`,
  first_seen_to: `first_seen < ${instant("f_first_seen_to")}`,
  last_seen_from: `last_seen >= ${instant("f_last_seen_from")}`,
  last_seen_to: `last_seen < ${instant("f_last_seen_to")}`,
  late: "late = {f_late:UInt8}",
  text: "positionCaseInsensitiveUTF8(title, {f_text:String}) > 0",
};

/** Hosts that had a window which the assessment covered. */
const hostsOfAssessment = `
    SELECT host_id FROM assay.coverage
    WHERE window_start >= ${instant("a_begins")} AND window_start < ${instant("a_ends")} AND has(assessments, {a_id:String})`;

/**
 * On one of the assessment's hosts or in its application, and seen in the period. And states that did not change in the period but were so
 * at its end: found before it, not resolved by then, and the rule's last outcome on the host as of the end is still match.
 */
const inAssessment = `(application_id = {a_application:String} OR (
    application_id = '' AND (category != 'flow' OR has(applications, {a_application:String})) AND host_id IN (${hostsOfAssessment})
  ))
  AND (
    finding_id IN (
      SELECT finding_id FROM assay.finding_activity WHERE at >= ${instant("a_begins")} AND at < ${instant("a_ends")}
    )
    OR (
      rule_id IN (SELECT rule_id FROM assay.rules FINAL WHERE scope = 'state')
      AND first_seen < ${instant("a_ends")}
      AND (resolved_at IS NULL OR resolved_at >= ${instant("a_ends")})
      AND (rule_id, host_id, application_id) IN (
        SELECT rule_id, host_id, application_id FROM assay.outcomes
        WHERE as_of <= ${instant("a_ends")} AND period_start IS NULL
        GROUP BY rule_id, host_id, application_id
        HAVING argMax(outcome, (as_of, late)) = 'match'
      )
    )
  )`;
