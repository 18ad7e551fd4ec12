/** The one table of topics. Adapters create topics from it, `assay topics` checks them against it. */
import type { SchemaName } from "./codec";

export interface TopicDefinition {
  readonly name: string;
  /** keyed: as many partitions as every other keyed topic, by one partitioner; single: one partition. */
  readonly partitioning: "keyed" | "single";
  readonly cleanup: "time" | "compact" | "compact_and_time";
  /** Records older than this may be dropped; undefined where only compaction removes. */
  readonly retention_ms: number | undefined;
  readonly schemas: readonly SchemaName[];
  readonly key: string;
}

const hour = 3_600_000;
const day = 24 * hour;

function topic<T extends Omit<TopicDefinition, "retention_ms"> & { retention_ms?: number }>(t: T): TopicDefinition {
  return { retention_ms: undefined, ...t };
}

export const topics = {
  telemetry: topic({
    name: "assay.telemetry",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: day,
    schemas: ["TelemetryBatch", "HostSilent"],
    key: "host",
  }),
  inventory: topic({
    name: "assay.inventory",
    partitioning: "keyed",
    cleanup: "compact_and_time",
    retention_ms: 30 * day,
    schemas: ["InventorySection"],
    key: "host/section/chunk; partitioned by host",
  }),
  commands: topic({
    name: "assay.commands",
    partitioning: "single",
    cleanup: "time",
    retention_ms: 7 * day,
    schemas: ["Command"],
    key: "entity",
  }),
  control: topic({
    name: "assay.control",
    partitioning: "single",
    cleanup: "time",
    retention_ms: 10 * 365 * day,
    schemas: ["ControlRecord"],
    key: "entity@version",
  }),
  hostWindows: topic({
    name: "assay.host-windows",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: 2 * day,
    schemas: ["HostWindow"],
    key: "host",
  }),
  applicationPartials: topic({
    name: "assay.application-partials",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: day,
    schemas: ["ApplicationPartial"],
    key: "application/window; partitioned by application",
  }),
  applicationWindows: topic({
    name: "assay.application-windows",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: 2 * day,
    schemas: ["ApplicationWindow"],
    key: "application",
  }),
  correlationEvents: topic({
    name: "assay.correlation-events",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: day,
    schemas: [],
    key: "rule/group",
  }),
  progress: topic({
    name: "assay.progress",
    partitioning: "single",
    cleanup: "compact",
    schemas: ["Progress"],
    key: "stage/partition",
  }),
  findings: topic({
    name: "assay.findings",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: 7 * day,
    schemas: ["FindingEvent"],
    key: "finding",
  }),
  triage: topic({
    name: "assay.triage",
    partitioning: "keyed",
    cleanup: "compact_and_time",
    retention_ms: 10 * 365 * day,
    schemas: [],
    key: "finding",
  }),
  checkpoints: topic({
    name: "assay.checkpoints",
    partitioning: "keyed",
    cleanup: "compact",
    schemas: ["CheckpointChunk", "CheckpointManifest"],
    key: "stage/partition/…; written to the stage's own partition",
  }),
  deadLetters: topic({
    name: "assay.dead-letters",
    partitioning: "keyed",
    cleanup: "time",
    retention_ms: 14 * day,
    schemas: ["DeadLetter"],
    key: "original key",
  }),
} as const satisfies Record<string, TopicDefinition>;

export type TopicName = (typeof topics)[keyof typeof topics]["name"];
export const allTopics: readonly TopicDefinition[] = Object.values(topics);

/**
 * The subject under which a record type stands in a schema registry: topic and full record name, as Confluent's TopicRecordNameStrategy
 * writes it, because a topic of ours holds several types, each with versions of its own. Readers, ClickHouse's AvroConfluent and Kafka's
 * tools among them, go by id and don't care; who publishes with Confluent's serializers sets that strategy.
 */
export function subjectOf(name: SchemaName): string {
  const topic = allTopics.find(({ schemas }) => schemas.includes(name));
  if (!topic) throw new Error(`the schema ${name} stands on no topic`);
  return `${topic.name}-assay.${name}`;
}
