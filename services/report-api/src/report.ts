/** The report of one assessment. Its shape: schemas/report.ts. */
import { type Period, periodOf } from "./assessment-period";
import { coverageOf, exclusionsOf } from "./assessment-summary";
import type { ControlReader } from "./control";
import type { SortKey } from "./http/page";
import { page_rows_max } from "./http/page";
import { notFound } from "./http/problem";
import { applicationOf, membersOf } from "./members";
import { assessmentOutcomes } from "./outcomes";
import { activityInPeriod } from "./queries/finding-activity";
import { countFindings } from "./queries/finding-aggregations";
import { type FindingWithEvidence, listFindingsWithEvidence, sortKeyOf } from "./queries/findings";
import type { Store } from "./queries/read";
import { rulesById, rulesOf } from "./queries/rules";
import type { Outcome } from "./schemas/outcome";
import type { Report, ReportFinding } from "./schemas/report";
import { instant } from "./schemas/values";
import { ruleTextsOf, showApplication, showAssessment, showEvidence, showFinding } from "./show";

export const report_findings_max = 10_000;
export const report_outcomes_max = 50_000;

/** Throws a Problem (not_found) where there is no such assessment. Refreshes control first. `now`: milliseconds since 1970. */
export async function assessmentReport(
  store: Store,
  control: ControlReader,
  id: string,
  now: number = Date.now(),
): Promise<Report> {
  await control.refresh();
  const assessment = control.latest("assessment", id);
  if (!assessment) throw notFound("assessment", id);
  const period = periodOf(assessment, now);
  const [members, rules, findings, findings_total] = await Promise.all([
    membersOf(store, control, period),
    rulesOf(store, period.packages),
    reportFindings(store, period),
    countFindings(store, {}, period),
  ]);
  const outcomes = await firstOutcomes(assessmentOutcomes(store, period, rules, members));
  const application = applicationOf(control, period);
  return {
    generated_at: instant(now),
    assessment: showAssessment(assessment),
    application: application ? showApplication(application) : null,
    coverage: coverageOf(period, members),
    findings,
    findings_total,
    outcomes: outcomes.kept,
    outcomes_total: outcomes.total,
    exclusions: exclusionsOf(assessment.value, members),
    truncated: findings.length < findings_total || outcomes.kept.length < outcomes.total,
  };
}

async function reportFindings(store: Store, period: Period): Promise<ReportFinding[]> {
  const findings: ReportFinding[] = [];
  let after: SortKey | undefined;
  while (findings.length < report_findings_max) {
    const list = { filters: {}, scope: period, sort: "severity", order: "desc", after, rows_max: page_rows_max } as const;
    const rows = await listFindingsWithEvidence(store, list);
    findings.push(...(await reportRows(store, period, rows)));
    const last = rows.at(-1);
    if (!last || rows.length < page_rows_max) break;
    after = sortKeyOf(last, "severity");
  }
  return findings.slice(0, report_findings_max);
}

async function reportRows(store: Store, period: Period, rows: readonly FindingWithEvidence[]): Promise<ReportFinding[]> {
  if (rows.length === 0) return [];
  const [activity, rules] = await Promise.all([
    activityInPeriod(
      store,
      period,
      rows.map((row) => row.finding_id),
    ),
    rulesById(store, [...new Set(rows.map((row) => row.rule_id))]),
  ]);
  const activityOf = new Map(activity.map((row) => [row.finding_id, row]));
  const ruleOf = new Map(rules.map((rule) => [rule.rule_id, rule]));
  return rows.map((row) => {
    const seen = activityOf.get(row.finding_id);
    return {
      ...showFinding(row),
      evidence: showEvidence(seen?.evidence || row.evidence),
      in_period: seen ? { occurrences: seen.occurrences, first: instant(seen.first_ms), last: instant(seen.last_ms) } : null,
      rule: ruleTextsOf(row, ruleOf.get(row.rule_id)),
    };
  });
}

async function firstOutcomes(chunks: AsyncIterable<Outcome[]>): Promise<{ kept: Outcome[]; total: number }> {
  const kept: Outcome[] = [];
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    kept.push(...chunk.slice(0, report_outcomes_max - kept.length));
  }
  return { kept, total };
}
