/** The rule packages that an embedded Assay activates. */
import type { PackageFiles } from "@assay/rules/load";
import { readPackages } from "@assay/rules/read-packages";
import { UserError } from "../io";

export async function rulePackages(directory: string): Promise<readonly PackageFiles[]> {
  try {
    return await readPackages(directory);
  } catch (error) {
    throw new UserError(`can't read the rule packages in ${directory}: ${(error as Error).message} (ASSAY_RULES_DIR)`);
  }
}
