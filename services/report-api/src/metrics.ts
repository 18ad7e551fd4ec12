/** All metrics of the report API. Labels come from closed sets: the operations of the table of routes, and statuses. */
import type { ServiceMetrics } from "@assay/runtime/metrics";
import { Histogram } from "prom-client";

export interface ReportApiMetrics {
  answered(operation: string, status: number, seconds: number): void;
}

export function reportApiMetrics(metrics: Pick<ServiceMetrics, "registry" | "prefix">): ReportApiMetrics {
  const requests = new Histogram({
    name: `${metrics.prefix}request_duration_seconds`,
    help: "Time from a request's headers to the end of its answer.",
    labelNames: ["operation", "status"],
    buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers: [metrics.registry],
  });
  return { answered: (operation, status, seconds) => requests.observe({ operation, status }, seconds) };
}
