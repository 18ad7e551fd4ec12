/** The evaluator's metrics. They are counted when a block is durable, from what it holds, so a rebuilt block counts again. */
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { RunningStage } from "@assay/stream/stage";
import { Counter, Gauge, Histogram } from "prom-client";

export interface EvaluatorMetrics {
  readonly records: Counter<"stage">;
  readonly findings: Counter<"severity" | "change">;
  readonly outcomes: Counter<"outcome">;
  readonly rule_errors: Counter<"cause">;
  readonly dead_letters: Counter<"reason">;
  readonly rows: Counter<"table">;
  readonly insert: Histogram<"table">;
  readonly latency: Histogram<"stage">;
}

export function evaluatorMetrics({ registry, prefix }: ServiceMetrics): EvaluatorMetrics {
  const registers = [registry];
  return {
    records: new Counter({
      name: `${prefix}evaluated_total`,
      help: "Host window parts, inventory sections and application windows that were evaluated, by stage.",
      labelNames: ["stage"],
      registers,
    }),
    findings: new Counter({
      name: `${prefix}finding_changes_total`,
      help: "Findings that were opened, reopened, changed, resolved, inactive or closed, by severity.",
      labelNames: ["severity", "change"],
      registers,
    }),
    outcomes: new Counter({
      name: `${prefix}outcomes_total`,
      help: "Outcomes that were written: transitions, and one per assessment period.",
      labelNames: ["outcome"],
      registers,
    }),
    rule_errors: new Counter({
      name: `${prefix}rule_errors_total`,
      help: "Rule packages in force that could not be loaded, and outcomes that are errors.",
      labelNames: ["cause"],
      registers,
    }),
    dead_letters: new Counter({
      name: `${prefix}dead_letters_total`,
      help: "Records that could not be used.",
      labelNames: ["reason"],
      registers,
    }),
    rows: new Counter({
      name: `${prefix}rows_total`,
      help: "Rows inserted, by table.",
      labelNames: ["table"],
      registers,
    }),
    insert: new Histogram({
      name: `${prefix}insert_seconds`,
      help: "Time until an insert was durable, retries among it.",
      labelNames: ["table"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    latency: new Histogram({
      name: `${prefix}latency_seconds`,
      help: "From the acceptance of the latest evidence to its durable findings and outcomes.",
      labelNames: ["stage"],
      buckets: [0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300],
      registers,
    }),
  };
}

/** How far the stages are behind the ends of their partitions. */
export function measureLag({ registry, prefix }: ServiceMetrics, stages: ReadonlyMap<string, RunningStage>): void {
  new Gauge({
    name: `${prefix}lag_records`,
    help: "Records of the log that were not evaluated yet, over the stage's partitions.",
    labelNames: ["stage"],
    registers: [registry],
    collect() {
      for (const [stage, running] of stages) {
        const lag = running.status().reduce((sum, p) => sum + Math.max(0, p.end - p.position), 0);
        this.set({ stage }, lag);
      }
    },
  });
}
