/** Rows and entities as answers show them. */
import type { Application, Assessment, Template } from "@assay/control/entities";
import type { Versioned } from "@assay/control/follow";
import type { ActivityRow } from "./queries/finding-activity";
import type { FindingRow } from "./queries/findings";
import type { RuleRow } from "./queries/rules";
import type { ApplicationAnswer, TemplateAnswer } from "./schemas/application";
import type { AssessmentAnswer } from "./schemas/assessment";
import type { Activity, Finding } from "./schemas/finding";
import type { Rule, RuleTexts } from "./schemas/rule";
import { instant, instantOrNull } from "./schemas/values";

export function showApplication({ id, version, effective_from, value }: Versioned<Application>): ApplicationAnswer {
  return { id, version, effective_from: instant(effective_from), ...value };
}

export function showTemplate({ id, version, effective_from, value }: Versioned<Template>): TemplateAnswer {
  return { id, version, effective_from: instant(effective_from), ...value };
}

export function showAssessment({ id, version, value }: Versioned<Assessment>): AssessmentAnswer {
  return {
    id,
    version,
    template_id: value.template_id,
    application_id: value.application_id,
    packages: value.packages,
    state: value.state,
    begins_at: instant(value.begins_at),
    ends_at: instantOrNull(value.ends_at),
    history: value.history.map(({ state, at, reason }) => ({ state, at: instant(at), reason })),
  };
}

export function showFinding(row: FindingRow): Finding {
  return {
    id: row.finding_id,
    rule_id: row.rule_id,
    package: row.package,
    category: row.category,
    severity: row.severity as Finding["severity"],
    title: row.title,
    host_id: row.host_id,
    host_name: row.host_name,
    application_id: row.application_id,
    applications: [...row.applications],
    identity: { ...row.identity },
    status: row.status as Finding["status"],
    status_reason: row.status_reason,
    first_seen: instant(row.first_seen_ms),
    last_seen: instant(row.last_seen_ms),
    resolved_at: instantOrNull(row.resolved_at_ms),
    occurrences: row.occurrences,
    late: row.late === 1,
  };
}

/** The evaluator writes JSON; what isn't is shown as the text that it is. */
export function showEvidence(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

export function showActivity(row: ActivityRow): Activity {
  return {
    at: instant(row.at_ms),
    until: instant(row.until_ms),
    first: instant(row.first_ms),
    last: instant(row.last_ms),
    occurrences: row.occurrences,
    late: row.late === 1,
    evidence: showEvidence(row.evidence),
  };
}

export function showRule(row: RuleRow): Rule {
  return {
    ...showRuleTexts(row),
    severity: row.severity as Rule["severity"],
    category: row.category,
    scope: row.scope as Rule["scope"],
    tags: [...row.tags],
    platforms: [...row.platforms],
    ruleset: row.ruleset,
  };
}

export function showRuleTexts(row: RuleRow): RuleTexts {
  return {
    id: row.rule_id,
    package: row.package,
    title: row.title,
    description: row.description,
    remediation: row.remediation,
    references: [...row.references],
    controls: Object.fromEntries(Object.entries(row.controls).map(([framework, ids]) => [framework, [...ids]])),
    author: row.author,
  };
}

/** For a finding whose rule the store doesn't hold (its first block may still be under way). */
export function ruleTextsOf(finding: FindingRow, rule: RuleRow | undefined): RuleTexts {
  if (rule) return showRuleTexts(rule);
  return {
    id: finding.rule_id,
    package: finding.package,
    title: finding.title,
    description: "",
    remediation: "",
    references: [],
    controls: {},
    author: "",
  };
}
