/** The groups as which services read, where what they have committed is asked for. The names are those of the services' stages. */
import { groupOf } from "@assay/stream/run-stage";

/** The correlator's, over telemetry. */
export const host_windows_group = groupOf("host-windows");
/** The evaluator's, over host windows. */
export const evaluate_host_windows_group = groupOf("evaluate-host-windows");
/** The coordinator's, over commands. */
export const coordinator_group = groupOf("coordinator");
