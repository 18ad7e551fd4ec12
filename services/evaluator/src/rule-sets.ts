/**
 * The rules in force at an event time: the active versions of all packages, compiled once per set of digests. By event time, so
 * that a replay evaluates with the very rules that it had.
 *
 * A package that can't be loaded never ends the evaluator: the coordinator should have refused it, so it is logged, counted, and
 * told as the outcome `error` of each host under the id `package:<name>`; the other packages are evaluated. So is one whose version at
 * the event time is no longer kept.
 */
import { createHash } from "node:crypto";
import type { RulePackage } from "@assay/control/entities";
import { type ControlView, versions_max } from "@assay/control/follow";
import type { EvidenceItem, Rule } from "@assay/rules/rule";
import type { Judged } from "./outcomes";

export interface RuleSet {
  /** SHA-256, hex, of the packages' names and digests. */
  readonly digest: string;
  /** Event time since which just these packages are in force; 0 where there are none. */
  readonly effective_from: number;
  readonly rules: ReadonlyMap<string, Rule>;
  readonly failures: readonly PackageFailure[];
  /** By rule id, what holds whatever the evidence: rules for other platforms, and over what nobody collects. */
  readonly told: ReadonlyMap<string, Judged>;
  /** Of the rules that evidence decides, those that this item matches. */
  matches(item: EvidenceItem): readonly Rule[];
}

export interface PackageFailure {
  readonly package: string;
  readonly reason: string;
}

export interface CompiledPackages {
  readonly rules: readonly Rule[];
  readonly failures: readonly PackageFailure[];
  matches(item: EvidenceItem): readonly Rule[];
  told(rule: Rule): Judged | undefined;
}
export type CompilePackages = (packages: readonly RulePackage[]) => CompiledPackages;

export interface RuleSets {
  at(event_time: number): RuleSet;
}

/** A spooled host may need the sets before; more than a few at once are not in use. */
const compiled_sets_max = 8;

export function followRuleSets(
  control: Pick<ControlView, "at" | "forgotten">,
  compile: CompilePackages,
  failed: (failure: PackageFailure) => void,
): RuleSets {
  const compiled = new Map<string, RuleSet>();
  return {
    at(event_time) {
      const versions = control.at("package", event_time).sort((a, b) => (a.id < b.id ? -1 : 1));
      const effective_from = Math.max(0, ...versions.map((v) => v.effective_from));
      const forgotten = control.forgotten("package", event_time).sort();
      const key = [...versions.map((v) => `${v.id}@${v.version}`), ...forgotten].join(" ");
      const known = compiled.get(key);
      if (known) return known;
      const packages = versions.map((v) => v.value);
      const compiled_packages = compile(packages);
      const failures = [...compiled_packages.failures, ...forgotten.map(noLongerKept)];
      const made = { ...ruleSet(packages, { ...compiled_packages, failures }), effective_from };
      for (const failure of made.failures) failed(failure);
      compiled.set(key, made);
      const oldest = compiled.size > compiled_sets_max ? compiled.keys().next().value : undefined;
      if (oldest !== undefined) compiled.delete(oldest);
      return made;
    },
  };
}

function noLongerKept(name: string): PackageFailure {
  const reason = `the version in force at that time is no longer kept: the newest ${versions_max.package} are`;
  return { package: name, reason };
}

function ruleSet(packages: readonly RulePackage[], compiled: CompiledPackages): Omit<RuleSet, "effective_from"> {
  const text = packages.map((p) => `${p.name}:${p.digest}\n`).join("");
  const told = new Map<string, Judged>();
  for (const rule of compiled.rules) {
    const judged = compiled.told(rule);
    if (judged) told.set(rule.id, judged);
  }
  return {
    digest: packages.length === 0 ? "" : createHash("sha256").update(text).digest("hex"),
    rules: new Map(compiled.rules.map((rule) => [rule.id, rule])),
    failures: compiled.failures,
    told,
    matches: (item) => {
      const matched = compiled.matches(item);
      return matched.some((rule) => told.has(rule.id)) ? matched.filter((rule) => !told.has(rule.id)) : matched;
    },
  };
}
