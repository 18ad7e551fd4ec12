/** The one table of topics beside what a broker has. */
import type { TopicDefinition } from "@assay/schemas/topics";
import type { TopicCheck } from "@assay/stream/kafka-log";
import { renderTable } from "../report/columns";

export interface TopicRow {
  readonly definition: TopicDefinition;
  /** What the table asks for. */
  readonly partitions: number;
  /** Undefined where no broker was asked. */
  readonly check: TopicCheck | undefined;
}

export function topicTable(rows: readonly TopicRow[]): string {
  const asked = rows.some((row) => row.check !== undefined);
  return renderTable(
    ["topic", "partitions", "cleanup", "kept", "key", ...(asked ? ["broker"] : [])],
    rows.map(({ definition, partitions, check }) => [
      definition.name,
      partitions,
      definition.cleanup.replaceAll("_", " "),
      retention(definition.retention_ms),
      definition.key,
      ...(asked ? [stateOf(check)] : []),
    ]),
  );
}

function stateOf(check: TopicCheck | undefined): string {
  if (!check?.exists) return "missing";
  const count = check.differences.length;
  return count === 0 ? "as it should be" : `${count} ${count === 1 ? "difference" : "differences"}`;
}

/** One line for each difference, the fatal ones with what to do. Empty where there is none. */
export function differenceLines(checks: readonly TopicCheck[]): string[] {
  return checks.flatMap(({ topic, exists, differences }) => {
    if (!exists) return [`${topic} is missing: assay topics create, or assay setup, makes it`];
    return differences.map(({ what, wanted, found, fatal }) => {
      const line = `${topic}: ${what} is ${found}, and should be ${wanted}`;
      if (!fatal) return `${line}; Assay works with it, and changes nothing that is there`;
      return what === "partitions" ? `${line}. ${drain_steps}` : `${line}; Assay can't work with it`;
    });
  });
}

/** A key would go to another partition than its earlier records, so a count is never changed in place. What it costs stands in docs/operations.md. */
export const drain_steps =
  "A count is never changed under records. Either set ASSAY_KAFKA_PARTITIONS to what is there, or: 1. stop the agents' traffic to ingest; " +
  "2. let correlator and evaluator finish (assay audit shows nothing pending); 3. stop all services; 4. delete the topics except " +
  "assay.control with the broker's own tools; 5. run assay setup, and start the services. Findings then count as first seen anew, and audits " +
  "don't add up for the two days before (docs/operations.md)";

const day_ms = 86_400_000;
const hour_ms = 3_600_000;

function retention(ms: number | undefined): string {
  if (ms === undefined) return "always";
  return ms % day_ms === 0 ? `${ms / day_ms} d` : `${ms / hour_ms} h`;
}
