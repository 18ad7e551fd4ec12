/**
 * The outcome of each rule of an assessment on each of its hosts: exactly one per rule and host. Rules over flows are also asked of the
 * application itself, where something outside acted on it. No evidence is never clear.
 *
 * - event: match where a finding of the rule was active in [begins, ends). Else, without a window in the period, insufficient; else
 *   what the outcome rows say as of the end, where a match from before the period has passed: clear.
 * - state: what the outcome rows say as of the end, if the evidence was at most 26 h old then. Rows come on transition, so a row may be
 *   much older than the evidence that still agrees with it: see evidenceAge.
 * - assessment: the row of the period that began with the assessment; for a continuous one, of its newest round.
 */
import type { Period } from "./assessment-period";
import { compareKeys, type SortKey } from "./http/page";
import type { Member } from "./members";
import { inventoryTimes } from "./queries/assessment-coverage";
import { type MatchRow, matchesIn, type OutcomeRow, outcomesAsOf, outcomesOfPeriod } from "./queries/outcomes";
import type { Store } from "./queries/read";
import type { RuleRow } from "./queries/rules";
import type { Outcome } from "./schemas/outcome";
import { instant, instantOrNull } from "./schemas/values";

export const evidence_age_ms_max = 26 * 3_600_000;
/** An agent tells each section of its inventory at least this often, changed or not. */
export const inventory_resend_ms = 12 * 3_600_000;
/** Hosts whose outcomes are read by one query, and judged in one go: few enough to leave the event loop free. */
export const hosts_per_query_max = 100;

/** Rules of these categories are asked of a host within an application, and of the application itself where something outside acts on it. */
export const applicationCategories: ReadonlySet<string> = new Set(["flow"]);

/**
 * The application's own first, where anything was told of it, then by host and rule. A chunk is at most hosts_per_query_max hosts, read when
 * it is asked for, so a caller may stop early.
 */
export async function* assessmentOutcomes(
  store: Store,
  period: Period,
  rules: readonly RuleRow[],
  members: readonly Member[],
): AsyncGenerator<Outcome[]> {
  yield await ofApplication(store, period, rules, members);
  for (let from = 0; from < members.length; from += hosts_per_query_max) {
    yield await ofHosts(store, period, rules, members.slice(from, from + hosts_per_query_max));
  }
}

async function ofApplication(
  store: Store,
  period: Period,
  rules: readonly RuleRow[],
  members: readonly Member[],
): Promise<Outcome[]> {
  const asked = rules.filter((rule) => applicationCategories.has(rule.category));
  if (asked.length === 0) return [];
  const evidence = await readEvidence(store, period, [""]);
  const { application_id } = period;
  const subject = { host_id: "", host_name: "", application_id, last_window_end: latestOf(members), inventory_at: undefined };
  const told = (key: string) => evidence.asOfEnd.has(key) || evidence.matches.has(key);
  return asked
    .filter(({ rule_id }) => told(evidenceKey({ host_id: "", application_id, rule_id })))
    .map((rule) => outcomeOf(rule, subject, evidence, period));
}

async function ofHosts(store: Store, period: Period, rules: readonly RuleRow[], members: readonly Member[]): Promise<Outcome[]> {
  const ids = members.map((m) => m.host_id);
  const [evidence, inventory] = await Promise.all([readEvidence(store, period, ids), inventoryTimes(store, ids)]);
  const inventoryAt = new Map(inventory.map((row) => [row.host_id, row.collected_at_ms]));
  return members.flatMap(({ host_id, host_name, coverage }) => {
    const host = {
      host_id,
      host_name,
      last_window_end: coverage?.last_window_end_ms,
      inventory_at: inventoryAt.get(host_id),
    };
    const outcomes = rules.map((rule) => {
      const application_id = applicationCategories.has(rule.category) ? period.application_id : "";
      return outcomeOf(rule, { ...host, application_id }, evidence, period);
    });
    return outcomes.sort((a, b) => compareKeys(outcomeKey(a), outcomeKey(b)));
  });
}

/** What lists of outcomes are sorted by. */
export function outcomeKey(of: { host_id: string; application_id: string; rule_id: string }): SortKey {
  return [of.host_id, of.application_id, of.rule_id];
}

/** A host, a host within an application, or with an empty host_id the application. Times: milliseconds since 1970; undefined for never. */
export interface Subject {
  readonly host_id: string;
  readonly host_name: string;
  readonly application_id: string;
  /** Of the windows in the period. */
  readonly last_window_end: number | undefined;
  /** When its inventory was last collected, as known today. */
  readonly inventory_at: number | undefined;
}

export interface Evidence {
  /** By subject and rule. */
  readonly asOfEnd: ReadonlyMap<string, OutcomeRow>;
  readonly ofPeriod: ReadonlyMap<string, OutcomeRow>;
  readonly matches: ReadonlyMap<string, MatchRow>;
}

async function readEvidence(store: Store, period: Period, host_ids: readonly string[]): Promise<Evidence> {
  const subjects = { host_ids, application_id: period.application_id };
  const [asOfEnd, ofPeriod, matches] = await Promise.all([
    outcomesAsOf(store, subjects, period.ends_at),
    outcomesOfPeriod(store, subjects, period.begins_at, period.continuous ? period.ends_at : period.begins_at),
    matchesIn(store, subjects, period.begins_at, period.ends_at),
  ]);
  return { asOfEnd: bySubject(asOfEnd), ofPeriod: bySubject(ofPeriod), matches: bySubject(matches) };
}

export function evidenceKey(of: { host_id: string; application_id: string; rule_id: string }): string {
  return `${of.host_id}\n${of.application_id}\n${of.rule_id}`;
}

interface Judged {
  readonly outcome: Outcome["outcome"];
  readonly reason: string;
  readonly as_of: number | null;
  readonly late: boolean;
}

export function outcomeOf(rule: RuleRow, subject: Subject, evidence: Evidence, period: Period): Outcome {
  const judged = judgeByScope(rule, subject, evidence, period);
  return {
    rule_id: rule.rule_id,
    package: rule.package,
    title: rule.title,
    severity: rule.severity as Outcome["severity"],
    scope: rule.scope as Outcome["scope"],
    host_id: subject.host_id,
    host_name: subject.host_name,
    application_id: subject.application_id,
    outcome: judged.outcome,
    reason: judged.reason,
    as_of: instantOrNull(judged.as_of),
    late: judged.late,
  };
}

function judgeByScope(rule: RuleRow, subject: Subject, evidence: Evidence, period: Period): Judged {
  const key = evidenceKey({ ...subject, rule_id: rule.rule_id });
  switch (rule.scope) {
    case "event":
      return judgeEvent(evidence.matches.get(key), evidence.asOfEnd.get(key), subject, period);
    case "state":
      return judgeState(evidence.asOfEnd.get(key), subject, period);
    default:
      return judgePeriod(evidence.ofPeriod.get(key), subject, period);
  }
}

function judgeEvent(match: MatchRow | undefined, row: OutcomeRow | undefined, subject: Subject, period: Period): Judged {
  if (match) return { outcome: "match", reason: "", as_of: match.last_ms, late: match.late === 1 };
  const { last_window_end } = subject;
  if (last_window_end === undefined || !row) return nothing;
  if (row.outcome !== "match") return { ...told(row), as_of: Math.max(row.as_of_ms, last_window_end) };
  const reason = `matched last before ${instant(period.begins_at)}, when the assessment began`;
  return { outcome: "clear", reason, as_of: last_window_end, late: false };
}

function judgeState(row: OutcomeRow | undefined, subject: Subject, period: Period): Judged {
  if (!row) return nothing;
  const age_ms = evidenceAge(row, subject, period);
  if (age_ms <= evidence_age_ms_max) return told(row);
  const hours = Math.floor(age_ms / 3_600_000);
  return { outcome: "insufficient_evidence", reason: `evidence is ${hours} h old`, as_of: row.as_of_ms, late: false };
}

/**
 * How old the newest evidence was at the end. The outcome's own time is one bound. Another is the last collection of inventory that is
 * known; where that was after the end, a host that had a window in the period had told its inventory within the agents' interval before it.
 */
function evidenceAge(row: OutcomeRow, subject: Subject, period: Period): number {
  const { inventory_at, last_window_end } = subject;
  let newest = row.as_of_ms;
  if (inventory_at !== undefined && inventory_at <= period.ends_at) newest = Math.max(newest, inventory_at);
  else if (inventory_at !== undefined && last_window_end !== undefined)
    newest = Math.max(newest, last_window_end - inventory_resend_ms);
  return Math.max(0, period.ends_at - newest);
}

function judgePeriod(row: OutcomeRow | undefined, subject: Subject, period: Period): Judged {
  if (row) return told(row);
  if (period.continuous) return { ...nothing, reason: "no round of the assessment has been evaluated yet" };
  if (!period.over) return { ...nothing, reason: "the assessment has not ended, and this rule needs all of it" };
  if (subject.last_window_end === undefined) return nothing;
  return { ...nothing, reason: "the period has not been evaluated yet" };
}

const nothing: Judged = { outcome: "insufficient_evidence", reason: "no evidence was received", as_of: null, late: false };

function told(row: OutcomeRow): Judged {
  return { outcome: row.outcome as Judged["outcome"], reason: row.reason, as_of: row.as_of_ms, late: row.late === 1 };
}

function bySubject<R extends { host_id: string; application_id: string; rule_id: string }>(rows: readonly R[]): Map<string, R> {
  return new Map(rows.map((row) => [evidenceKey(row), row]));
}

function latestOf(members: readonly Member[]): number | undefined {
  const ends = members.flatMap((m) => m.coverage?.last_window_end_ms ?? []);
  return ends.length > 0 ? ends.reduce((a, b) => Math.max(a, b)) : undefined;
}
