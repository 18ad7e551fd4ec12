/** The rule engine of @assay/rules, as the reducers use it. */
import type { RulePackage } from "@assay/control/entities";
import { connectionItem, flowItem, listenerItem, processItem } from "@assay/rules/evidence";
import { missingFields } from "@assay/rules/fields";
import { findingId, identityOf } from "@assay/rules/identity";
import { loadPackages } from "@assay/rules/load";
import { judgeSection, judgeWithoutEvidence } from "@assay/rules/outcome";
import { formatProblem, type Problem } from "@assay/rules/problem";
import type { RuleSet as LoadedRules } from "@assay/rules/rule-set";
import { sectionItems } from "@assay/rules/section-items";
import type { SectionName } from "@assay/schemas/inventory";
import type { Engine } from "./engine";
import type { CompiledPackages, PackageFailure } from "./rule-sets";

export const ruleEngine: Engine = {
  process: processItem,
  connection: connectionItem,
  listener: listenerItem,
  flow: flowItem,
  missingFields,
  identity: identityOf,
  findingId,
  judgeSection(rules, section, content) {
    const { section: name, status, reason } = section;
    const matcher = { rules: rules.rules.values(), match: rules.matches };
    return judgeSection(matcher, { name, status, reason, content });
  },
  isWhole: (section, content) =>
    section.status === "collected" && sectionItems(section.section as SectionName, content).incomplete === "",
};

/** Packages that can't be loaded, alone or next to those before them, are told; the others are compiled together. */
export function compilePackages(packages: readonly RulePackage[]): CompiledPackages {
  const all = loadPackages(packages);
  if ("ruleset" in all) return compiled(all.ruleset, []);
  const good: RulePackage[] = [];
  const failures: PackageFailure[] = [];
  for (const pack of packages) {
    const loaded = loadPackages([...good, pack]);
    if ("ruleset" in loaded) good.push(pack);
    else failures.push({ package: pack.name, reason: reasonOf(loaded.problems) });
  }
  const rest = loadPackages(good);
  if ("problems" in rest)
    throw new Error(`packages that loaded one after the other don't load together: ${reasonOf(rest.problems)}`);
  return compiled(rest.ruleset, failures);
}

function compiled(ruleset: LoadedRules, failures: readonly PackageFailure[]): CompiledPackages {
  return { rules: ruleset.rules, failures, matches: (item) => ruleset.match(item), told: judgeWithoutEvidence };
}

function reasonOf(problems: readonly Problem[]): string {
  const [first] = problems;
  const more = problems.length > 1 ? `, and ${problems.length - 1} more problems` : "";
  return first ? `${formatProblem(first)}${more}` : "";
}
