/** Settings of the distributed mode: Kafka, the schema registry, and what each hosted service reads besides its own. */
import {
  defineSettings,
  duration_ms,
  flag,
  integer,
  oneOf,
  optionalPath,
  optionalUrl,
  type Relation,
  type SettingsOf,
  secret,
  text,
} from "@assay/runtime/settings";

const minute_ms = 60_000;
const host_port = String.raw`(?:\[[0-9A-Fa-f:.%]+\]|[^\s,:/\[\]]+):\d{1,5}`;

export const kafkaSettings = defineSettings({
  brokers: text("ASSAY_KAFKA_BROKERS", {
    doc: "Kafka brokers to begin with, as host:port,host:port. Where they are set the log is Kafka, else the embedded one.",
    default: "",
    pattern: new RegExp(`^${host_port}(?:,${host_port})*$`),
    form: "host:port, separated by commas",
  }),
  tls: flag("ASSAY_KAFKA_TLS", { doc: "Speak TLS with the brokers.", default: false }),
  ca_file: optionalPath("ASSAY_KAFKA_CA_FILE", {
    doc: "Who signed the brokers' certificates, PEM; the authorities that Node knows where it isn't set.",
  }),
  certificate_file: optionalPath("ASSAY_KAFKA_CERT_FILE", { doc: "Our certificate for mutual TLS, PEM." }),
  key_file: optionalPath("ASSAY_KAFKA_KEY_FILE", { doc: "The key of that certificate, PEM." }),
  sasl: oneOf("ASSAY_KAFKA_SASL", {
    doc: "How to log in to the brokers.",
    default: "none",
    values: ["none", "plain", "scram-sha-256", "scram-sha-512"],
  }),
  username: text("ASSAY_KAFKA_USER", { doc: "User of the brokers.", default: "", length_max: 256 }),
  password: secret("ASSAY_KAFKA_PASSWORD", { doc: "Password of that user." }),
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
  retry_ms: duration_ms("ASSAY_KAFKA_RETRY_MS", {
    doc: "How long brokers or schema registry may be away before a process gives up and ends.",
    default: 5 * minute_ms,
    min: 1_000,
    max: 60 * minute_ms,
  }),
  registry_url: optionalUrl("ASSAY_SCHEMA_REGISTRY_URL", {
    doc: "Schema registry that speaks Confluent's API, with the path to it. Needed with Kafka.",
    protocols: ["http:", "https:"],
  }),
  registry_username: text("ASSAY_SCHEMA_REGISTRY_USER", { doc: "User of the registry.", default: "", length_max: 256 }),
  registry_password: secret("ASSAY_SCHEMA_REGISTRY_PASSWORD", { doc: "Password of that user." }),
  registry_ca_file: optionalPath("ASSAY_SCHEMA_REGISTRY_CA_FILE", {
    doc: "Who signed the registry's certificate, PEM; the authorities that Node knows where it isn't set.",
  }),
});
export type KafkaSettings = SettingsOf<typeof kafkaSettings>;

export const kafkaRelations: readonly Relation<typeof kafkaSettings>[] = [
  {
    between: ["brokers", "registry_url"],
    problem: (s) =>
      s.brokers !== "" && s.registry_url === undefined
        ? "ASSAY_SCHEMA_REGISTRY_URL is not set; Kafka (ASSAY_KAFKA_BROKERS) needs a schema registry beside it"
        : undefined,
  },
  {
    between: ["tls", "ca_file", "certificate_file", "key_file"],
    problem: (s) =>
      !s.tls && (s.ca_file ?? s.certificate_file ?? s.key_file) !== undefined
        ? "files for TLS with Kafka are named (ASSAY_KAFKA_CA_FILE, ASSAY_KAFKA_CERT_FILE, ASSAY_KAFKA_KEY_FILE), and TLS is off (ASSAY_KAFKA_TLS)"
        : undefined,
  },
  {
    between: ["certificate_file", "key_file"],
    problem: (s) =>
      (s.certificate_file === undefined) !== (s.key_file === undefined)
        ? "mutual TLS with Kafka needs both ASSAY_KAFKA_CERT_FILE and ASSAY_KAFKA_KEY_FILE"
        : undefined,
  },
  {
    between: ["sasl", "username", "password"],
    problem: (s) =>
      s.sasl !== "none" && (s.username === "" || s.password === undefined)
        ? `to log in to Kafka by ${s.sasl} (ASSAY_KAFKA_SASL) a user and a password are needed (ASSAY_KAFKA_USER, ASSAY_KAFKA_PASSWORD)`
        : undefined,
  },
  {
    between: ["sasl", "username"],
    problem: (s) =>
      s.sasl === "none" && s.username !== ""
        ? "a user of Kafka is named (ASSAY_KAFKA_USER), and not how to log in (ASSAY_KAFKA_SASL)"
        : undefined,
  },
  {
    between: ["registry_username", "registry_password"],
    problem: (s) =>
      (s.registry_username === "") !== (s.registry_password === undefined)
        ? "a schema registry that asks who we are needs both ASSAY_SCHEMA_REGISTRY_USER and ASSAY_SCHEMA_REGISTRY_PASSWORD"
        : undefined,
  },
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
  return (env[kafkaSettings.brokers.variable] ?? "") !== "";
}
