/**
 * The life of findings on one subject (a host, an application, a host in an application):
 *
 *              see                    settle
 *   (none) ──opened──▶ active ──────────────────────▶ resolved   complete evidence no longer shows it (state, assessment)
 *                        ▲   ╲─────────────────────▶ inactive   not seen for inactive_after_ms (event)
 *                        │    ╲────────────────────▶ closed     the rule is gone, or the host is
 *                        └──────────reopened──────────┘          seen again; first_seen and occurrences go on
 *
 * A row's version is the greater of the record's timestamp and the version before + 1, so it grows and a replay gives it again.
 * Pure: records' times come as arguments, rows and events leave through `outputs`.
 */

import { type Rule, type Severity, severities } from "@assay/rules/rule";
import type { FindingChange } from "@assay/schemas/generated/types";
import { type Output, row } from "./outputs";
import type { FindingStatus, Flag } from "./rows";

/** As it stands in a checkpoint. */
export interface Finding {
  rule_id: string;
  package: string;
  category: string;
  severity: Severity;
  title: string;
  scope: Rule["scope"];
  identity: Record<string, string>;
  status: FindingStatus;
  status_reason: string;
  first_seen: number;
  last_seen: number;
  /** When it left active, in event time; 0 while active. */
  settled_at: number;
  occurrences: number;
  late: Flag;
  version: number;
  ruleset: string;
  /** JSON of the latest evidence; empty once settled, when its row has been written. */
  evidence: string;
  /** Seen since its last row (states are not written with every window): from, how often, with which first and last. */
  unwritten: { at: number; occurrences: number; first: number; last: number } | null;
  /** Event time of its last row. */
  written_at: number;
}
export type Findings = Record<string, Finding>;

export interface Subject {
  readonly host_id: string;
  readonly host_name: string;
  readonly application_id: string;
  readonly applications: readonly string[];
}

export interface Sighting {
  readonly finding_id: string;
  readonly rule: Rule;
  readonly ruleset: string;
  readonly identity: Record<string, string>;
  readonly at: number;
  readonly until: number;
  readonly first: number;
  readonly last: number;
  readonly occurrences: number;
  readonly late: boolean;
  /** JSON. */
  readonly evidence: string;
}

export interface Write {
  readonly subject: Subject;
  /** Of the record that is being applied. */
  readonly timestamp: number;
  readonly outputs: Output[];
}

/** Event findings that were not seen for this long are inactive. */
export const inactive_after_ms = 7 * 86_400_000;
/** On one subject. Past it settled ones are forgotten, oldest first; where none is settled, new ones are not opened. */
export const findings_max = 1_000;

/**
 * A rule's match was seen. Where the finding is active already and refresh_ms is given, its row is written only when the last one
 * is that much older. Returns false where the limit left no room for it.
 */
export function see(findings: Findings, sighting: Sighting, write: Write, refresh_ms = 0): boolean {
  const known = findings[sighting.finding_id];
  if (!known) return open(findings, sighting, write);
  if (sighting.late) writeActivity(sighting.finding_id, known, known.last_seen, false, write);
  const before = { severity: known.severity, title: known.title };
  const change = seenAgain(known, sighting);
  if (change === undefined && !sighting.late && sighting.until - known.written_at < refresh_ms) return true;
  writeRow(sighting.finding_id, known, sighting.until, write);
  writeActivity(sighting.finding_id, known, sighting.until, sighting.late, write);
  if (known.status !== "active") known.evidence = "";
  else if (change !== undefined) tell(sighting.finding_id, known, change, sighting.last, write);
  else if (before.severity !== known.severity || before.title !== known.title) {
    tell(sighting.finding_id, known, "changed", sighting.last, write);
  }
  return true;
}

/** Ends an active finding's time as such. `at` is event time. */
export function settle(
  finding_id: string,
  finding: Finding,
  status: Exclude<FindingStatus, "active">,
  reason: string,
  at: number,
  write: Write,
): void {
  if (finding.status !== "active") return;
  finding.status = status;
  finding.status_reason = reason;
  finding.settled_at = at;
  writeActivity(finding_id, finding, finding.last_seen, false, write);
  writeRow(finding_id, finding, at, write);
  tell(finding_id, finding, status, at, write);
  finding.evidence = "";
}

/** Event findings become inactive when the subject's event time has passed them by inactive_after_ms. */
export function expire(findings: Findings, event_time: number, write: Write): void {
  for (const id of Object.keys(findings)) {
    const finding = findings[id];
    if (finding?.status !== "active" || finding.scope !== "event") continue;
    if (event_time - finding.last_seen <= inactive_after_ms) continue;
    settle(id, finding, "inactive", `not seen for ${inactive_after_ms / 86_400_000} days`, event_time, write);
  }
}

/** Closes the findings of rules that are no longer there. */
export function closeGone(findings: Findings, stands: (finding: Finding) => boolean, at: number, write: Write): void {
  for (const id of Object.keys(findings)) {
    const finding = findings[id];
    if (finding?.status !== "active" || stands(finding)) continue;
    settle(id, finding, "closed", "the rule is no longer in an active package", at, write);
  }
}

function open(findings: Findings, sighting: Sighting, write: Write): boolean {
  if (Object.keys(findings).length >= findings_max && !forgetOldestSettled(findings)) return false;
  const finding: Finding = {
    ...ofRule(sighting.rule),
    identity: sighting.identity,
    status: "active",
    status_reason: "",
    first_seen: sighting.first,
    last_seen: sighting.last,
    settled_at: 0,
    occurrences: sighting.occurrences,
    late: sighting.late ? 1 : 0,
    version: 0,
    ruleset: sighting.ruleset,
    evidence: sighting.evidence,
    unwritten: { at: sighting.at, occurrences: sighting.occurrences, first: sighting.first, last: sighting.last },
    written_at: 0,
  };
  findings[sighting.finding_id] = finding;
  writeRow(sighting.finding_id, finding, sighting.until, write);
  writeActivity(sighting.finding_id, finding, sighting.until, sighting.late, write);
  tell(sighting.finding_id, finding, "opened", sighting.last, write);
  return true;
}

/** Returns "reopened" where it was settled and this is news of it: what a supplement tells of the time before is not. */
function seenAgain(finding: Finding, sighting: Sighting): "reopened" | undefined {
  const news_from = finding.status === "inactive" ? finding.last_seen + 1 : finding.settled_at;
  const reopens = finding.status !== "active" && sighting.last >= news_from;
  Object.assign(finding, ofRule(sighting.rule));
  finding.ruleset = sighting.ruleset;
  if (sighting.last >= finding.last_seen || finding.evidence === "") finding.evidence = sighting.evidence;
  finding.first_seen = Math.min(finding.first_seen, sighting.first);
  finding.last_seen = Math.max(finding.last_seen, sighting.last);
  finding.occurrences += sighting.occurrences;
  finding.unwritten = {
    at: Math.min(finding.unwritten?.at ?? sighting.at, sighting.at),
    occurrences: (finding.unwritten?.occurrences ?? 0) + sighting.occurrences,
    first: Math.min(finding.unwritten?.first ?? sighting.first, sighting.first),
    last: Math.max(finding.unwritten?.last ?? sighting.last, sighting.last),
  };
  if (!reopens) return undefined;
  finding.status = "active";
  finding.status_reason = "";
  finding.settled_at = 0;
  finding.late = sighting.late ? 1 : 0;
  return "reopened";
}

function ofRule(rule: Rule): Pick<Finding, "rule_id" | "package" | "category" | "severity" | "title" | "scope"> {
  const { id, package: name, category, severity, title, scope } = rule;
  return { rule_id: id, package: name, category, severity, title, scope };
}

function forgetOldestSettled(findings: Findings): boolean {
  let oldest: string | undefined;
  let settled_at = Number.POSITIVE_INFINITY;
  for (const [id, finding] of Object.entries(findings)) {
    const older = finding.settled_at < settled_at || (finding.settled_at === settled_at && oldest !== undefined && id < oldest);
    if (finding.status === "active" || !older) continue;
    oldest = id;
    settled_at = finding.settled_at;
  }
  if (oldest === undefined) return false;
  delete findings[oldest];
  return true;
}

function writeRow(finding_id: string, finding: Finding, at: number, write: Write): void {
  finding.version = Math.max(finding.version + 1, write.timestamp);
  finding.written_at = Math.max(finding.written_at, at);
  write.outputs.push(
    row("findings", {
      finding_id,
      rule_id: finding.rule_id,
      package: finding.package,
      category: finding.category,
      severity: finding.severity,
      severity_rank: severities.length - 1 - severities.indexOf(finding.severity),
      title: finding.title,
      host_id: write.subject.host_id,
      host_name: write.subject.host_name,
      application_id: write.subject.application_id,
      applications: write.subject.applications,
      identity: finding.identity,
      status: finding.status,
      status_reason: finding.status_reason,
      first_seen: finding.first_seen,
      last_seen: finding.last_seen,
      resolved_at: finding.status === "active" ? null : finding.settled_at,
      occurrences: finding.occurrences,
      late: finding.late,
      evidence: finding.evidence,
      ruleset: finding.ruleset,
      version: finding.version,
    }),
  );
}

function writeActivity(finding_id: string, finding: Finding, until: number, late: boolean, write: Write): void {
  const unwritten = finding.unwritten;
  if (!unwritten) return;
  finding.unwritten = null;
  write.outputs.push(
    row("finding_activity", {
      finding_id,
      rule_id: finding.rule_id,
      package: finding.package,
      severity: finding.severity,
      host_id: write.subject.host_id,
      application_id: write.subject.application_id,
      at: unwritten.at,
      until: Math.max(until, unwritten.at),
      first: unwritten.first,
      last: unwritten.last,
      occurrences: unwritten.occurrences,
      late: late ? 1 : 0,
      evidence: finding.evidence,
    }),
  );
}

function tell(finding_id: string, finding: Finding, change: FindingChange, at: number, write: Write): void {
  write.outputs.push({
    kind: "finding_event",
    event: {
      finding_id,
      change,
      at,
      rule_id: finding.rule_id,
      severity: finding.severity,
      title: finding.title,
      host_id: write.subject.host_id,
      application_id: write.subject.application_id,
      identity: finding.identity,
      status: finding.status,
      first_seen: finding.first_seen,
      last_seen: finding.last_seen,
      occurrences: finding.occurrences,
    },
  });
}
