/**
 * Outcomes of rules on one subject, written on transition: the first one always, then where the outcome changes, or the reason of
 * one that is neither match nor clear. Readers see a step function: an outcome holds from its as_of until the next row's.
 *
 * What a supplement brings may turn clear into match, never the reverse.
 */
import type { Outcome, Rule } from "@assay/rules/rule";
import { type Output, row } from "./outputs";

export interface Judged {
  readonly outcome: Outcome;
  readonly reason: string;
}

/** By rule id; as it stands in a checkpoint. */
export type Outcomes = Record<string, { outcome: Outcome; reason: string; as_of: number }>;

export interface OutcomeOf {
  readonly rule: Pick<Rule, "id" | "package">;
  readonly ruleset: string;
  readonly host_id: string;
  readonly application_id: string;
  readonly as_of: number;
  readonly late: boolean;
}

export function transition(outcomes: Outcomes, judged: Judged, of: OutcomeOf, outputs: Output[]): void {
  const last = outcomes[of.rule.id];
  if (of.late && !(judged.outcome === "match" && mayTurn(last, of.as_of))) return;
  if (!of.late && last && same(last, judged)) return;
  // A supplement to a window before the last transition is told, but what holds now stays as it is.
  if (!of.late || !last || last.as_of <= of.as_of) outcomes[of.rule.id] = { ...judged, as_of: of.as_of };
  outputs.push(row("outcomes", outcomeRow(judged, of, null)));
}

/** An outcome over a period is a row of its own each time. */
export function ofPeriod(judged: Judged, of: OutcomeOf, period_start: number, outputs: Output[]): void {
  outputs.push(row("outcomes", outcomeRow(judged, of, period_start)));
}

/** Rules that are gone, or come back later, begin anew. */
export function forgetGone(outcomes: Outcomes, stands: (rule_id: string) => boolean): void {
  for (const id of Object.keys(outcomes)) if (!stands(id)) delete outcomes[id];
}

function mayTurn(last: Outcomes[string] | undefined, as_of: number): boolean {
  return last?.outcome !== "match" || last.as_of > as_of;
}

function same(last: Judged, judged: Judged): boolean {
  if (last.outcome !== judged.outcome) return false;
  return judged.outcome === "match" || judged.outcome === "clear" || last.reason === judged.reason;
}

function outcomeRow(judged: Judged, of: OutcomeOf, period_start: number | null) {
  return {
    rule_id: of.rule.id,
    package: of.rule.package,
    host_id: of.host_id,
    application_id: of.application_id,
    outcome: judged.outcome,
    reason: judged.reason,
    as_of: of.as_of,
    period_start,
    late: of.late ? 1 : 0,
    ruleset: of.ruleset,
  } as const;
}
