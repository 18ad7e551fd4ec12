/** Names of the evaluator's stages: of their groups (groupOf), checkpoints, and progress. */
export const stage_names = {
  host_windows: "evaluate-host-windows",
  application_windows: "evaluate-application-windows",
  inventory: "evaluate-inventory",
} as const;
