/** Packages in force that could not be loaded: told as an outcome of their own, under an id that no rule has. */
import { type OutcomeOf, type Outcomes, transition } from "./outcomes";
import type { Output } from "./outputs";
import type { RuleSet } from "./rule-sets";

const prefix = "package:";

export function isFailure(rule_id: string): boolean {
  return rule_id.startsWith(prefix);
}

export function judgeFailures(
  rules: RuleSet,
  outcomes: Outcomes,
  of: Pick<OutcomeOf, "host_id" | "application_id" | "as_of">,
  outputs: Output[],
): void {
  const failing = new Map(rules.failures.map((failure) => [`${prefix}${failure.package}`, failure]));
  const at = { ...of, ruleset: rules.digest, late: false };
  for (const [id, failure] of failing) {
    const rule = { id, package: failure.package };
    transition(outcomes, { outcome: "error", reason: failure.reason }, { ...at, rule }, outputs);
  }
  for (const id of Object.keys(outcomes)) {
    if (!isFailure(id) || failing.has(id)) continue;
    const rule = { id, package: id.slice(prefix.length) };
    transition(outcomes, { outcome: "clear", reason: "the package loads" }, { ...at, rule }, outputs);
    delete outcomes[id];
  }
}
