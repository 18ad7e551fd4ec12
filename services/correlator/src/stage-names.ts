/** Names of the correlator's stages: of their groups (groupOf) and checkpoints. */
export const stage_names = { host_windows: "host-windows", application_windows: "application-windows" } as const;

/** As which the coordinator reads commands; it is no stage. */
export const coordinator_group = "assay-coordinator";
