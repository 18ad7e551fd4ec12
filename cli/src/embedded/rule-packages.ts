/** The rule packages that an embedded Assay activates: read and checked before anything is started. */
import { loadPackages, type PackageFiles } from "@assay/rules/load";
import { formatProblem } from "@assay/rules/problem";
import { readPackages } from "@assay/rules/read-packages";
import type { Rule } from "@assay/rules/rule";
import { UserError } from "../io";

export interface RulePackages {
  readonly packages: readonly PackageFiles[];
  readonly rules: readonly Rule[];
}

const problems_shown_max = 20;

/** Throws UserError with what is wrong in which file and line. */
export async function rulePackages(directory: string): Promise<RulePackages> {
  let packages: readonly PackageFiles[];
  try {
    packages = await readPackages(directory);
  } catch (error) {
    throw new UserError(`can't read the rule packages in ${directory}: ${(error as Error).message} (ASSAY_RULES_DIR)`);
  }
  const loaded = loadPackages(packages);
  if ("ruleset" in loaded) return { packages, rules: loaded.ruleset.rules };
  const { problems } = loaded;
  const shown = problems.slice(0, problems_shown_max).map((problem) => `\n  ${formatProblem(problem)}`);
  const more = problems.length > problems_shown_max ? `\n  … and ${problems.length - problems_shown_max} more` : "";
  throw new UserError(`the rule packages in ${directory} can't be used (ASSAY_RULES_DIR):${shown.join("")}${more}`);
}
