/** Settings of the correlator. */
import { defineSettings, duration_ms, type Relation, type SettingsOf } from "@assay/runtime/settings";

export const correlatorSettings = defineSettings({
  window_ms: duration_ms("ASSAY_WINDOW_MS", {
    doc: "Length of a window. Embedded 10 s; 60 s fits a fleet. Don't change it over data that has open windows.",
    default: 10_000,
    min: 1_000,
    max: 3_600_000,
  }),
  lateness_ms: duration_ms("ASSAY_LATENESS_MS", {
    doc: "How long a window waits after its host has told that it is complete. Embedded 2 s; 30 s fits a fleet.",
    default: 2_000,
    min: 0,
    max: 600_000,
  }),
  silent_after_ms: duration_ms("ASSAY_HOST_SILENT_AFTER_MS", {
    doc: "A host from which no batch came for so long is silent: its open windows close, and assessments no longer wait for it.",
    default: 60_000,
    min: 5_000,
    max: 86_400_000,
  }),
  checkpoint_wait_ms: duration_ms("ASSAY_CHECKPOINT_WAIT_MS", {
    doc: "How often the correlator writes its state down; a restart replays at most this much.",
    default: 5_000,
    min: 100,
    max: 600_000,
  }),
});
export type CorrelatorSettings = SettingsOf<typeof correlatorSettings>;

export const correlatorRelations: readonly Relation<typeof correlatorSettings>[] = [
  {
    between: ["window_ms", "lateness_ms"],
    problem: ({ window_ms, lateness_ms }) =>
      lateness_ms > window_ms
        ? `lateness of ${lateness_ms} ms is longer than the window of ${window_ms} ms (ASSAY_LATENESS_MS, ASSAY_WINDOW_MS)`
        : undefined,
  },
  {
    between: ["window_ms", "silent_after_ms"],
    problem: ({ window_ms, silent_after_ms }) =>
      silent_after_ms < window_ms
        ? `a host would be silent after ${silent_after_ms} ms, within one window of ${window_ms} ms (ASSAY_HOST_SILENT_AFTER_MS, ASSAY_WINDOW_MS)`
        : undefined,
  },
];
