/** The kinds of telemetry: the arrays of a TelemetryBatch, and the unit of accounting. */
export const telemetryKinds = ["processes", "connections", "listeners"] as const;
export type TelemetryKind = (typeof telemetryKinds)[number];
