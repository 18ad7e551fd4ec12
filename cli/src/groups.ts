/** The groups as which services read, where what they have committed is asked for. */
import { coordinator_group, stage_names as correlator_stages } from "@assay/correlator/stage-names";
import { stage_names as evaluator_stages } from "@assay/evaluator/stage-names";
import { groupOf } from "@assay/stream/run-stage";

/** The correlator's, over telemetry. */
export const host_windows_group = groupOf(correlator_stages.host_windows);
/** The evaluator's, over host windows. */
export const evaluate_host_windows_group = groupOf(evaluator_stages.host_windows);
/** The coordinator's, over commands. */
export { coordinator_group };
