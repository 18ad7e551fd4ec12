/** The ASSAY_… variables that are set: what a thread is given of the environment. */
import type { Environment } from "@assay/runtime/settings";

export function assayEnvironment(env: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[0].startsWith("ASSAY_") && entry[1] !== undefined),
  );
}
