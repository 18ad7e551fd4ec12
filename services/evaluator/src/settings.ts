/** What the evaluator can be told. */
import { defineSettings, duration_ms, integer, type Relation, type SettingsOf } from "@assay/runtime/settings";

export const evaluatorSettings = defineSettings({
  flush_wait_ms: duration_ms("ASSAY_EVALUATOR_FLUSH_WAIT_MS", {
    doc: "How long after its first record a block of results is written at the latest. 1000 suits one machine, 10000 a fleet.",
    default: 1_000,
    min: 100,
    max: 60_000,
  }),
  flush_outputs_max: integer("ASSAY_EVALUATOR_FLUSH_OUTPUTS_MAX", {
    doc: "At this many results a block is written before that.",
    default: 50_000,
    min: 1_000,
    max: 50_000,
  }),
  checkpoint_wait_ms: duration_ms("ASSAY_EVALUATOR_CHECKPOINT_WAIT_MS", {
    doc: "How often state is saved; a restart replays what came since.",
    default: 30_000,
    min: 1_000,
    max: 600_000,
  }),
  state_refresh_ms: duration_ms("ASSAY_EVALUATOR_STATE_REFRESH_MS", {
    doc: "How often the last-seen time of a listener's finding is written while nothing about it changes, in event time.",
    default: 60_000,
    min: 0,
    max: 3_600_000,
  }),
});
export type EvaluatorSettings = SettingsOf<typeof evaluatorSettings>;

export const evaluatorRelations: readonly Relation<typeof evaluatorSettings>[] = [
  {
    between: ["flush_wait_ms", "checkpoint_wait_ms"],
    problem: ({ flush_wait_ms, checkpoint_wait_ms }) =>
      checkpoint_wait_ms >= flush_wait_ms
        ? undefined
        : `checkpoints every ${checkpoint_wait_ms} ms are more frequent than blocks, every ${flush_wait_ms} ms (ASSAY_EVALUATOR_CHECKPOINT_WAIT_MS, ASSAY_EVALUATOR_FLUSH_WAIT_MS)`,
  },
];
