/** Which rules a partition, and each host or application, was last evaluated with, and what follows when they change. */

import type { Rule } from "@assay/rules/rule";
import { closeGone, type Finding, type Findings, type Write } from "./findings";
import { type KeyedState, markRulesChanged, type RulesInForce } from "./keyed-state";
import { forgetGone, type Outcomes } from "./outcomes";
import { type Output, row } from "./outputs";
import type { RuleRow } from "./rows";
import { isFailure } from "./rule-failures";
import type { RuleSet, RuleSets } from "./rule-sets";

interface Subject {
  readonly findings: Findings;
  readonly outcomes: Outcomes;
  rules: RulesInForce;
}

/**
 * Writes what changed between the rules before and these. Every partition of every stage does so with the same rows, which the
 * table replaces by rule and version. A window of the past, with older rules, changes nothing.
 */
export function noteRules(state: KeyedState<unknown>, now: RuleSet, rule_sets: RuleSets, outputs: Output[]): void {
  const before = state.rules;
  if (now.digest === before.digest || now.effective_from < before.effective_from) return;
  const gone = before.digest === "" ? [] : [...rule_sets.at(before.effective_from).rules.values()];
  for (const rule of gone) {
    if (!now.rules.has(rule.id)) outputs.push(row("rules", ruleRow(rule, now, 1)));
  }
  for (const rule of now.rules.values()) outputs.push(row("rules", ruleRow(rule, now, 0)));
  state.rules = { digest: now.digest, effective_from: now.effective_from };
  markRulesChanged(state);
}

/** A subject meets the rules of its newest evidence: findings of rules that are gone close. Older rules change nothing. */
export function adoptRules(subject: Subject, rules: RuleSet, at: number, write: Write): void {
  const before = subject.rules;
  if (rules.digest === before.digest || rules.effective_from < before.effective_from) return;
  leaveGone(subject, rules, at, write);
  subject.rules = { digest: rules.digest, effective_from: rules.effective_from };
}

/** What a late part's older rules brought about is told, and doesn't outlive them. */
export function endWithRules(subject: Subject, older: RuleSet, rule_sets: RuleSets, at: number, write: Write): void {
  const { digest, effective_from } = subject.rules;
  if (digest !== "" && older.digest !== digest) leaveGone(subject, rule_sets.at(effective_from), at, write);
}

function leaveGone(subject: Subject, rules: RuleSet, at: number, write: Write): void {
  closeGone(subject.findings, (finding) => stands(rules, finding), at, write);
  forgetGone(subject.outcomes, (rule_id) => rules.rules.has(rule_id) || isFailure(rule_id));
}

/** Whether a finding's rule is there, or may be: in a package that could not be loaded. */
function stands(rules: RuleSet, finding: Finding): boolean {
  return rules.rules.has(finding.rule_id) || rules.failures.some((f) => f.package === finding.package);
}

function ruleRow(rule: Rule, rules: RuleSet, removed: 0 | 1): RuleRow {
  return {
    rule_id: rule.id,
    package: rule.package,
    title: rule.title,
    description: rule.description,
    author: rule.author,
    severity: rule.severity,
    category: rule.category,
    scope: rule.scope,
    remediation: rule.remediation,
    references: rule.references,
    tags: rule.tags,
    controls: rule.controls,
    platforms: rule.platforms,
    ruleset: rules.digest,
    removed,
    version: rules.effective_from,
  };
}
