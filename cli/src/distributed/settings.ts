/** Settings of the distributed mode: Kafka, the schema registry, and what each hosted service reads besides its own. */
import { kafkaConnectionRelations, kafkaConnectionSettings } from "@assay/runtime/kafka-settings";
import {
  defineSettings,
  duration_ms,
  integer,
  oneOf,
  type Relation,
  type SettingsOf,
  secret,
  text,
} from "@assay/runtime/settings";

const minute_ms = 60_000;

export const kafkaSettings = defineSettings({
  ...kafkaConnectionSettings("ASSAY", {
    brokers: "Kafka brokers to begin with, as host:port,host:port. Where they are set the log is Kafka, else the embedded one.",
    registry_url: "Schema registry that speaks Confluent's API, with the path to it. Needed with Kafka.",
  }),
  partitions: integer("ASSAY_KAFKA_PARTITIONS", {
    doc: "Partitions of the keyed topics. Fixed once they are there; it is also how many replicas of a service can share the work.",
    default: 64,
    min: 1,
    max: 1_024,
  }),
  replication_factor: integer("ASSAY_KAFKA_REPLICATION", {
    doc: "Replicas of the topics that are made; 0 for what the brokers have as their default.",
    default: 0,
    min: 0,
    max: 9,
  }),
  compression: oneOf("ASSAY_KAFKA_COMPRESSION", {
    doc: "Of what is appended.",
    default: "lz4",
    values: ["none", "gzip", "lz4"],
  }),
  session_ms: duration_ms("ASSAY_KAFKA_SESSION_MS", {
    doc: "A replica that the brokers don't hear of for this long loses its partitions to the others.",
    default: 45_000,
    min: 6_000,
    max: 30 * minute_ms,
  }),
  rebalance_ms: duration_ms("ASSAY_KAFKA_REBALANCE_MS", {
    doc: "How long a replica may work on what it has in hand while its partitions are shared out anew; past it that work is dropped and done again.",
    default: 60_000,
    min: 6_000,
    max: 30 * minute_ms,
  }),
  retry_ms: duration_ms("ASSAY_KAFKA_RETRY_MS", {
    doc: "How long brokers or schema registry may be away before a process gives up and ends.",
    default: 5 * minute_ms,
    min: 1_000,
    max: 60 * minute_ms,
  }),
});
export type KafkaSettings = SettingsOf<typeof kafkaSettings>;

export const kafkaRelations: readonly Relation<typeof kafkaSettings>[] = [
  {
    between: ["kafka_brokers", "registry_url"],
    problem: (s) =>
      s.kafka_brokers !== "" && s.registry_url === undefined
        ? "ASSAY_SCHEMA_REGISTRY_URL is not set; Kafka (ASSAY_KAFKA_BROKERS) needs a schema registry beside it"
        : undefined,
  },
  ...kafkaConnectionRelations("ASSAY"),
];

export const serviceSettings = defineSettings({
  metrics_host: text("ASSAY_METRICS_HOST", {
    doc: "Address on which a service of its own process serves /live, /ready and /metrics; 0.0.0.0 in a container.",
    default: "127.0.0.1",
    length_max: 255,
  }),
  setup_wait_ms: duration_ms("ASSAY_SETUP_WAIT_MS", {
    doc: "How long a starting service waits for `assay setup` to have made topics and tables.",
    default: 10 * minute_ms,
    min: 1_000,
    max: 1_440 * minute_ms,
  }),
  stop_wait_ms: duration_ms("ASSAY_STOP_WAIT_MS", {
    doc: "How long a service may take to finish the work in hand once it is told to stop.",
    default: 30_000,
    min: 1_000,
    max: 10 * minute_ms,
  }),
});
export type ServiceSettings = SettingsOf<typeof serviceSettings>;

export const setupSettings = defineSettings({
  api_key: secret("ASSAY_API_KEY", {
    doc: "The report API's first key, with the role admin. Without it one is made at the first setup and printed once.",
    length_min: 32,
  }),
});

/** Whether the log is Kafka. */
export function onKafka(env: Readonly<Record<string, string | undefined>>): boolean {
  return (env[kafkaSettings.kafka_brokers.variable] ?? "") !== "";
}
