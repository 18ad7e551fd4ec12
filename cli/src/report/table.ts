/** The report of one assessment for a terminal: findings by severity, then what was checked and found clear, then what was seen. */
import type { Outcome } from "@assay/report-api/schemas/outcome";
import type { ReportFinding } from "@assay/report-api/schemas/report";
import { type Severity, severities } from "@assay/rules/rule";
import type { AssessReport } from "./assessment-report";
import { formatCount, wrap, wrapText } from "./columns";
import { evidenceLines } from "./evidence";

export interface TableOptions {
  readonly width: number;
  /** Whether whoever ran it was root: what an ordinary user can't see is worth a hint. */
  readonly as_root: boolean;
  /** By rule, the fields that it reads: those of the evidence are shown. */
  readonly rule_fields: ReadonlyMap<string, readonly string[]>;
}

const width_max = 110;
const width_min = 40;

export function reportTable(report: AssessReport, options: TableOptions): string {
  const width = Math.max(width_min, Math.min(width_max, options.width));
  const lines = [
    ...head(report),
    "",
    ...findings(report, options, width),
    "",
    ...outcomes(report.outcomes, width),
    "",
    ...coverage(report, options, width),
  ];
  // What hosts and rules say must not reach the terminal as anything but text.
  return `${lines.join("\n").replaceAll(/[^\P{Cc}\n]/gu, " ")}\n`;
}

function head({ assessment, host, coverage }: AssessReport): string[] {
  const os = host?.os?.pretty_name;
  return [
    `Assessment of ${host?.name ?? assessment.application_id}${os ? ` (${os})` : ""}`,
    `${time(coverage.begins_at)} to ${time(coverage.through)}${assessment.state === "completed" ? "" : `, ${assessment.state.replaceAll("_", " ")}`}`,
  ];
}

function findings(report: AssessReport, options: TableOptions, width: number): string[] {
  if (report.findings.length === 0) return ["No findings."];
  const count = (severity: Severity) => report.findings.filter((f) => f.severity === severity).length;
  const shares = severities.filter((s) => count(s) > 0).map((s) => `${count(s)} ${s}`);
  const lines = [
    `${formatCount(report.findings.length)} ${report.findings.length === 1 ? "finding" : "findings"}: ${shares.join(", ")}`,
  ];
  for (const severity of severities) {
    const own = report.findings.filter((f) => f.severity === severity);
    if (own.length === 0) continue;
    lines.push("", severity.toUpperCase(), "─".repeat(severity.length));
    for (const [rule_id, group] of byRule(own)) lines.push(...ruleFindings(rule_id, group, options, width), "");
    lines.pop();
  }
  return lines;
}

function byRule(findings: readonly ReportFinding[]): Map<string, ReportFinding[]> {
  const groups = new Map<string, ReportFinding[]>();
  for (const finding of findings) groups.set(finding.rule_id, [...(groups.get(finding.rule_id) ?? []), finding]);
  return groups;
}

/** Why and how to mend stand once per rule; what was found stands once per finding. */
const findings_shown_max = 10;

function ruleFindings(rule_id: string, group: readonly ReportFinding[], options: TableOptions, width: number): string[] {
  const [one] = group;
  if (!one) return [];
  const lines = [`${one.title}  [${one.package}]`];
  for (const finding of group.slice(0, findings_shown_max))
    lines.push(...what(finding, options.rule_fields.get(rule_id) ?? [], width));
  if (group.length > findings_shown_max)
    lines.push(`  … and ${group.length - findings_shown_max} more of ${rule_id} (--format json shows all)`);
  lines.push(...labelled("why", one.rule.description, width), ...labelled("mend", one.rule.remediation, width));
  return lines;
}

function what(finding: ReportFinding, rule_fields: readonly string[], width: number): string[] {
  const identity = Object.entries(finding.identity).flatMap(([field, value]) => (value === "" ? [] : [`${field} ${value}`]));
  const where = finding.application_id === "" ? finding.host_name || finding.host_id : `application ${finding.application_id}`;
  const times = finding.in_period?.occurrences ?? finding.occurrences;
  return [
    ...hanging("  • ", identity.length > 0 ? identity.join(", ") : where, width),
    ...evidenceLines(finding.evidence, rule_fields).flatMap((line) => wrap(line, width, "      ")),
    `      first seen ${time(finding.first_seen)}${times > 1 ? `, ${formatCount(times)} times` : ""}${finding.late ? ", told late" : ""}`,
  ];
}

const label_width = 6;

function labelled(label: string, text: string, width: number): string[] {
  return hanging(`  ${label.padEnd(label_width)}`, text, width);
}

/** The first line behind a mark, the others below its text. */
function hanging(mark: string, text: string, width: number): string[] {
  const [first, ...others] = wrapText(text, width, " ".repeat(mark.length));
  return first === undefined ? [] : [mark + first.trimStart(), ...others];
}

function outcomes(all: readonly Outcome[], width: number): string[] {
  const of = (kind: Outcome["outcome"]) => all.filter((o) => o.outcome === kind);
  const lines = [
    "CHECKED",
    `  ${formatCount(all.length)} ${all.length === 1 ? "outcome" : "outcomes"}, one per rule and host: ${of("match").length} match, ${of("clear").length} clear, ${of("not_applicable").length} not applicable, ${of("insufficient_evidence").length} without enough evidence, ${of("error").length} error`,
  ];
  const reasons = [
    ["not applicable", of("not_applicable")],
    ["without enough evidence", of("insufficient_evidence")],
    ["error", of("error")],
  ] as const;
  for (const [label, list] of reasons) {
    if (list.length === 0) continue;
    lines.push(`  ${label}:`);
    for (const [reason, rules] of byReason(list)) lines.push(...wrap(`${rules.join(", ")}: ${reason}`, width, "    "));
  }
  return lines;
}

function byReason(list: readonly Outcome[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const outcome of list) {
    const reason = outcome.reason || "no reason given";
    groups.set(reason, [...(groups.get(reason) ?? []), outcome.title || outcome.rule_id]);
  }
  return groups;
}

function coverage({ coverage: c }: AssessReport, options: TableOptions, width: number): string[] {
  const events = Object.entries(c.events).map(([kind, count]) => `${formatCount(count)} ${kind}`);
  const dropped = Object.entries(c.dropped).filter(([, count]) => count > 0);
  const lines = [
    "COVERAGE",
    `  ${formatCount(c.windows)} windows of ${c.hosts_observed} of ${c.hosts} ${c.hosts === 1 ? "host" : "hosts"}, ${percent(c.covered_share)} of the time watched${c.late_parts > 0 ? `, ${c.late_parts} parts late` : ""}`,
    `  events: ${events.join(", ") || "none"}; dropped by the agent: ${dropped.map(([kind, n]) => `${formatCount(n)} ${kind}`).join(", ") || "none"}`,
  ];
  const gaps = [
    ...c.collectors.filter((x) => x.status !== "ok").map((x) => `${x.name}: ${x.status}${x.reason ? `, ${x.reason}` : ""}`),
    ...c.inventory
      .filter((x) => x.status === "partial" || x.status === "unreadable")
      .map((x) => `${x.section}: ${x.status}${x.reason ? `, ${x.reason}` : ""}`),
    ...c.exclusions.map((x) => `host ${x.host_id} left out: ${x.reason}${x.detail ? `, ${x.detail}` : ""}`),
  ];
  if (gaps.length > 0) {
    lines.push("  not seen in full:");
    for (const gap of gaps) lines.push(...wrap(gap, width, "    "));
    if (!options.as_root) lines.push("  Run it as root to see every user's processes, sockets and settings.");
  }
  return lines;
}

function percent(share: number): string {
  return `${Math.floor(share * 1_000) / 10} %`;
}

/** 2026-05-20T08:00:00.000Z → 2026-05-20 08:00:00Z */
function time(instant: string): string {
  return instant.replace("T", " ").replace(/\.\d+Z$/, "Z");
}
