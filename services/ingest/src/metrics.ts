/** All of ingest's metrics. Labels come from closed sets: nothing that an agent says becomes a label. */
import type { ServiceMetrics } from "@assay/runtime/metrics";
import { deadLetterReasons } from "@assay/schemas/dead-letter-reasons";
import { telemetryKinds } from "@assay/schemas/kinds";
import { Counter, Gauge, Histogram } from "prom-client";

export const refusalReasons = [
  ...deadLetterReasons,
  "unauthorized",
  "unsupported_encoding",
  "overloaded",
  "log_full",
  "append_failed",
  "control_unreadable",
] as const;
export type RefusalReason = (typeof refusalReasons)[number];
export const recordTypes = ["telemetry", "inventory"] as const;
export type RecordType = (typeof recordTypes)[number];
export const enrolmentResults = ["accepted", "refused", "failed"] as const;

export type IngestMetrics = ReturnType<typeof ingestMetrics>;

export function ingestMetrics(metrics: ServiceMetrics) {
  const { prefix } = metrics;
  const registers = [metrics.registry];
  const accepted = new Counter({
    name: `${prefix}batches_total`,
    help: "Records accepted: their append was durable when the agent was answered.",
    labelNames: ["type"],
    registers,
  });
  const events = new Counter({
    name: `${prefix}events_total`,
    help: "Events in accepted telemetry.",
    labelNames: ["kind"],
    registers,
  });
  const bytes = new Counter({
    name: `${prefix}bytes_total`,
    help: "Bytes of accepted records.",
    labelNames: ["type"],
    registers,
  });
  const refused = new Counter({
    name: `${prefix}refused_total`,
    help: "Requests refused, by reason.",
    labelNames: ["reason"],
    registers,
  });
  const deadLettersNotKept = new Counter({
    name: `${prefix}dead_letters_not_kept_total`,
    help: "Records refused without a dead letter, since their host had used up its allowance of them.",
    labelNames: ["reason"],
    registers,
  });
  const enrolments = new Counter({
    name: `${prefix}enrolments_total`,
    help: "Agents that asked to be enrolled.",
    labelNames: ["result"],
    registers,
  });
  const append = new Histogram({
    name: `${prefix}append_seconds`,
    help: "Time until the log said that a record is durable.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  const clockOffset = new Histogram({
    name: `${prefix}clock_offset_seconds`,
    help: "How far an agent's clock was from ours when its batch came. Past 5 s the correlator corrects it.",
    labelNames: ["agent_is"],
    buckets: [0.1, 1, 5, 60, 600, 3600, 86_400],
    registers,
  });
  const inFlight = new Gauge({ name: `${prefix}requests_in_flight`, help: "Requests being read or appended.", registers });

  // A series that has counted nothing yet is 0, not absent.
  for (const type of recordTypes) for (const counter of [accepted, bytes]) counter.inc({ type }, 0);
  for (const kind of telemetryKinds) events.inc({ kind }, 0);
  for (const reason of refusalReasons) refused.inc({ reason }, 0);
  for (const reason of deadLetterReasons) deadLettersNotKept.inc({ reason }, 0);
  for (const result of enrolmentResults) enrolments.inc({ result }, 0);
  return {
    accepted,
    events,
    bytes,
    refused,
    deadLettersNotKept,
    enrolments,
    append,
    inFlight,
    observeClock(offset_ms: number) {
      clockOffset.observe({ agent_is: offset_ms > 0 ? "ahead" : "behind" }, Math.abs(offset_ms) / 1000);
    },
  };
}
