/**
 * What a fleet on Kafka has as defaults where one machine by itself has others: longer windows, and what hangs on them. Every process
 * that works on the same topics must have the same windows.
 */
import type { Environment } from "@assay/runtime/settings";
import { onKafka } from "./settings";

export const distributed_defaults: Readonly<Record<string, string>> = {
  ASSAY_WINDOW_MS: "60000",
  ASSAY_LATENESS_MS: "30000",
  ASSAY_EVALUATOR_FLUSH_WAIT_MS: "10000",
  ASSAY_REPORT_API_SILENT_AFTER_MS: "300000",
};

/** The environment as it is where the log is embedded. */
export function withDefaults<E extends Environment>(env: E): E {
  if (!onKafka(env)) return env;
  const isSet = (variable: string) => (env[variable] ?? "") !== "";
  const missing = Object.entries(distributed_defaults).filter(
    // The lateness goes with the window: whoever sets one of them has its own idea of the other.
    ([variable]) => !isSet(variable) && !(variable === "ASSAY_LATENESS_MS" && isSet("ASSAY_WINDOW_MS")),
  );
  return { ...env, ...Object.fromEntries(missing) };
}
