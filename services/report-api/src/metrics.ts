/** All metrics of the report API. Labels come from closed sets: the operations of the table of routes, and statuses. */
import type { ServiceMetrics } from "@assay/runtime/metrics";
import { Counter, Gauge, Histogram } from "prom-client";

export const refusalReasons = ["overloaded"] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export interface ReportApiMetrics {
  answered(operation: string, status: number, seconds: number): void;
  refused(reason: RefusalReason): void;
  inFlight(requests: number): void;
}

export function reportApiMetrics(metrics: Pick<ServiceMetrics, "registry" | "prefix">): ReportApiMetrics {
  const requests = new Histogram({
    name: `${metrics.prefix}request_duration_seconds`,
    help: "Time from a request's headers to the end of its answer.",
    labelNames: ["operation", "status"],
    buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers: [metrics.registry],
  });
  const refused = new Counter({
    name: `${metrics.prefix}refused_total`,
    help: "Requests sent away before they were looked at, by reason.",
    labelNames: ["reason"],
    registers: [metrics.registry],
  });
  const inFlight = new Gauge({
    name: `${metrics.prefix}requests_in_flight`,
    help: "Requests whose answer has not left yet, or for which work goes on.",
    registers: [metrics.registry],
  });
  // A series that has counted nothing yet is 0, not absent.
  for (const reason of refusalReasons) refused.inc({ reason }, 0);
  return {
    answered: (operation, status, seconds) => requests.observe({ operation, status }, seconds),
    refused: (reason) => refused.inc({ reason }),
    inFlight: (count) => inFlight.set(count),
  };
}
