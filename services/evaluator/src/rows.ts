/** The rows that the evaluator writes, as packages/store/migrations declares the tables. Times are milliseconds since 1970. */

import type { Outcome, Severity } from "@assay/rules/rule";

export type FindingStatus = "active" | "inactive" | "resolved" | "closed";
export type Flag = 0 | 1;

export interface RuleRow {
  readonly rule_id: string;
  readonly package: string;
  readonly title: string;
  readonly description: string;
  readonly author: string;
  readonly severity: Severity;
  readonly category: string;
  readonly scope: string;
  readonly remediation: string;
  readonly references: readonly string[];
  readonly tags: readonly string[];
  readonly controls: Readonly<Record<string, readonly string[]>>;
  readonly platforms: readonly string[];
  readonly ruleset: string;
  readonly removed: Flag;
  readonly version: number;
}

export interface FindingRow {
  readonly finding_id: string;
  readonly rule_id: string;
  readonly package: string;
  readonly category: string;
  readonly severity: Severity;
  readonly severity_rank: number;
  readonly title: string;
  readonly host_id: string;
  readonly host_name: string;
  readonly application_id: string;
  readonly applications: readonly string[];
  readonly identity: Readonly<Record<string, string>>;
  readonly status: FindingStatus;
  readonly status_reason: string;
  readonly first_seen: number;
  readonly last_seen: number;
  readonly resolved_at: number | null;
  readonly occurrences: number;
  readonly late: Flag;
  readonly evidence: string;
  readonly ruleset: string;
  readonly version: number;
}

export interface ActivityRow {
  readonly finding_id: string;
  readonly rule_id: string;
  readonly package: string;
  readonly severity: Severity;
  readonly host_id: string;
  readonly application_id: string;
  readonly at: number;
  readonly until: number;
  readonly first: number;
  readonly last: number;
  readonly occurrences: number;
  readonly late: Flag;
  readonly evidence: string;
}

export interface OutcomeRow {
  readonly rule_id: string;
  readonly package: string;
  readonly host_id: string;
  readonly application_id: string;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly as_of: number;
  readonly period_start: number | null;
  readonly late: Flag;
  readonly ruleset: string;
}

export interface CoverageRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  readonly window_start: number;
  readonly window_end: number;
  readonly incarnation: number;
  readonly seq_from: number;
  readonly seq_to: number;
  readonly closed_by: string;
  readonly covered_ms: number;
  readonly clock_offset_ms: number;
  readonly applications: readonly string[];
  readonly assessments: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly windowed: Readonly<Record<string, number>>;
  readonly folded: Readonly<Record<string, number>>;
  readonly cut: Readonly<Record<string, number>>;
  readonly duplicates: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
  readonly drop_reasons: Readonly<Record<string, number>>;
  readonly collectors: Readonly<Record<string, string>>;
  readonly received_through: number;
}

export interface SectionRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly section: string;
  readonly status: string;
  readonly reason: string;
  readonly digest: string;
  readonly collected_at: number;
  readonly content: string;
  readonly version: number;
}

export interface TableRows {
  readonly findings: FindingRow;
  readonly finding_activity: ActivityRow;
  readonly outcomes: OutcomeRow;
  readonly coverage: CoverageRow;
  readonly inventory_sections: SectionRow;
  readonly rules: RuleRow;
}
export type TableName = keyof TableRows;

export interface TableForm {
  readonly columns: readonly string[];
  /** Rows of a block are sorted by these columns, which tell any two rows of a block apart. */
  readonly order: readonly string[];
}

/** In the order in which a block's tables are written: findings first. */
export const tableForms: { readonly [T in TableName]: TableForm } = {
  findings: form<FindingRow>()(
    [
      "finding_id",
      "rule_id",
      "package",
      "category",
      "severity",
      "severity_rank",
      "title",
      "host_id",
      "host_name",
      "application_id",
      "applications",
      "identity",
      "status",
      "status_reason",
      "first_seen",
      "last_seen",
      "resolved_at",
      "occurrences",
      "late",
      "evidence",
      "ruleset",
      "version",
    ],
    ["finding_id", "version"],
  ),
  finding_activity: form<ActivityRow>()(
    [
      "finding_id",
      "rule_id",
      "package",
      "severity",
      "host_id",
      "application_id",
      "at",
      "until",
      "first",
      "last",
      "occurrences",
      "late",
      "evidence",
    ],
    ["at", "finding_id", "until", "late", "occurrences", "first", "last", "evidence"],
  ),
  outcomes: form<OutcomeRow>()(
    ["rule_id", "package", "host_id", "application_id", "outcome", "reason", "as_of", "period_start", "late", "ruleset"],
    ["as_of", "host_id", "application_id", "rule_id", "period_start", "late", "outcome", "reason"],
  ),
  coverage: form<CoverageRow>()(
    [
      "host_id",
      "host_name",
      "agent_version",
      "window_start",
      "window_end",
      "incarnation",
      "seq_from",
      "seq_to",
      "closed_by",
      "covered_ms",
      "clock_offset_ms",
      "applications",
      "assessments",
      "tags",
      "windowed",
      "folded",
      "cut",
      "duplicates",
      "dropped",
      "drop_reasons",
      "collectors",
      "received_through",
    ],
    ["host_id", "window_start", "incarnation", "seq_to", "seq_from"],
  ),
  inventory_sections: form<SectionRow>()(
    ["host_id", "host_name", "section", "status", "reason", "digest", "collected_at", "content", "version"],
    ["host_id", "section", "version"],
  ),
  rules: form<RuleRow>()(
    [
      "rule_id",
      "package",
      "title",
      "description",
      "author",
      "severity",
      "category",
      "scope",
      "remediation",
      "references",
      "tags",
      "controls",
      "platforms",
      "ruleset",
      "removed",
      "version",
    ],
    ["rule_id", "version"],
  ),
};
export const tableNames = Object.keys(tableForms) as readonly TableName[];

function form<R>() {
  return <const C extends readonly (keyof R & string)[]>(
    columns: [keyof R & string] extends [C[number]] ? C : readonly ["a column is missing", Exclude<keyof R, C[number]>],
    order: readonly (keyof R & string)[],
  ): TableForm => ({ columns: columns as readonly string[], order });
}
