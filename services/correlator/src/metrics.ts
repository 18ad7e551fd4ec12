/** All metrics of the correlator. */
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { PartitionStatus } from "@assay/stream/stage";
import { Counter, Gauge } from "prom-client";

export interface CorrelatorMetrics {
  outputsOf(stage: string, outputs: number): void;
  watch(stage: string, status: () => readonly PartitionStatus[]): void;
}

export function correlatorMetrics(metrics: ServiceMetrics): CorrelatorMetrics {
  const stages = new Map<string, () => readonly PartitionStatus[]>();
  const outputs = new Counter({
    name: `${metrics.prefix}outputs_total`,
    help: "Records that a stage delivered.",
    labelNames: ["stage"],
    registers: [metrics.registry],
  });
  const sumOver = (name: string, help: string, value: (status: PartitionStatus) => number) =>
    new Gauge({
      name: `${metrics.prefix}${name}`,
      help,
      labelNames: ["stage"],
      registers: [metrics.registry],
      collect() {
        for (const [stage, status] of stages)
          this.set(
            { stage },
            status().reduce((total, s) => total + value(s), 0),
          );
      },
    });
  sumOver("lag_records", "Records of a stage's input that it hasn't read.", (s) => Math.max(0, s.end - s.position));
  sumOver("uncommitted_records", "Records read and not yet committed: what a restart would replay.", (s) =>
    Math.max(0, s.position - s.committed),
  );
  return {
    outputsOf: (stage, count) => outputs.inc({ stage }, count),
    watch: (stage, status) => stages.set(stage, status),
  };
}
