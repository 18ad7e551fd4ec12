/** How a process of ours reaches Kafka and the schema registry beside it: the services' own (ASSAY_…), and a trusted agent's (ASSAY_AGENT_…). */
import { defineSettings, flag, oneOf, optionalPath, optionalUrl, type Relation, secret, text } from "./settings";

export type KafkaPrefix = "ASSAY" | "ASSAY_AGENT";

export interface KafkaDocs {
  readonly brokers: string;
  readonly registry_url: string;
}

export type KafkaConnectionSettings = ReturnType<typeof kafkaConnectionSettings>;

export function kafkaConnectionSettings(prefix: KafkaPrefix, docs: KafkaDocs) {
  return defineSettings({
    kafka_brokers: text(`${prefix}_KAFKA_BROKERS`, {
      doc: docs.brokers,
      default: "",
      pattern: new RegExp(`^${host_port}(?:,${host_port})*$`),
      form: "host:port, separated by commas",
    }),
    kafka_tls: flag(`${prefix}_KAFKA_TLS`, { doc: "Speak TLS with the brokers.", default: false }),
    kafka_ca_file: optionalPath(`${prefix}_KAFKA_CA_FILE`, {
      doc: "Who signed the brokers' certificates, PEM; the authorities that Node knows where it isn't set.",
    }),
    kafka_certificate_file: optionalPath(`${prefix}_KAFKA_CERT_FILE`, { doc: "Our certificate for mutual TLS, PEM." }),
    kafka_key_file: optionalPath(`${prefix}_KAFKA_KEY_FILE`, { doc: "The key of that certificate, PEM." }),
    kafka_sasl: oneOf(`${prefix}_KAFKA_SASL`, {
      doc: "How to log in to the brokers.",
      default: "none",
      values: ["none", "plain", "scram-sha-256", "scram-sha-512"],
    }),
    kafka_username: text(`${prefix}_KAFKA_USER`, { doc: "User of the brokers.", default: "", length_max: 256 }),
    kafka_password: secret(`${prefix}_KAFKA_PASSWORD`, { doc: "Password of that user." }),
    registry_url: optionalUrl(`${prefix}_SCHEMA_REGISTRY_URL`, { doc: docs.registry_url, protocols: ["http:", "https:"] }),
    registry_username: text(`${prefix}_SCHEMA_REGISTRY_USER`, { doc: "User of the registry.", default: "", length_max: 256 }),
    registry_password: secret(`${prefix}_SCHEMA_REGISTRY_PASSWORD`, { doc: "Password of that user." }),
    registry_ca_file: optionalPath(`${prefix}_SCHEMA_REGISTRY_CA_FILE`, {
      doc: "Who signed the registry's certificate, PEM; the authorities that Node knows where it isn't set.",
    }),
  });
}

const host_port = String.raw`(?:\[[0-9A-Fa-f:.%]+\]|[^\s,:/\[\]]+):\d{1,5}`;

export function kafkaConnectionRelations(prefix: KafkaPrefix): readonly Relation<KafkaConnectionSettings>[] {
  const of = (name: string) => `${prefix}_${name}`;
  return [
    {
      between: ["kafka_tls", "kafka_ca_file", "kafka_certificate_file", "kafka_key_file"],
      problem: (s) =>
        !s.kafka_tls && (s.kafka_ca_file ?? s.kafka_certificate_file ?? s.kafka_key_file) !== undefined
          ? `files for TLS with Kafka are named (${of("KAFKA_CA_FILE")}, ${of("KAFKA_CERT_FILE")}, ${of("KAFKA_KEY_FILE")}), and TLS is off (${of("KAFKA_TLS")})`
          : undefined,
    },
    {
      between: ["kafka_certificate_file", "kafka_key_file"],
      problem: (s) =>
        (s.kafka_certificate_file === undefined) !== (s.kafka_key_file === undefined)
          ? `mutual TLS with Kafka needs both ${of("KAFKA_CERT_FILE")} and ${of("KAFKA_KEY_FILE")}`
          : undefined,
    },
    {
      between: ["kafka_sasl", "kafka_username", "kafka_password"],
      problem: (s) =>
        s.kafka_sasl !== "none" && (s.kafka_username === "" || s.kafka_password === undefined)
          ? `to log in to Kafka by ${s.kafka_sasl} (${of("KAFKA_SASL")}) a user and a password are needed (${of("KAFKA_USER")}, ${of("KAFKA_PASSWORD")})`
          : undefined,
    },
    {
      between: ["kafka_sasl", "kafka_username"],
      problem: (s) =>
        s.kafka_sasl === "none" && s.kafka_username !== ""
          ? `a user of Kafka is named (${of("KAFKA_USER")}), and not how to log in (${of("KAFKA_SASL")})`
          : undefined,
    },
    {
      between: ["registry_username", "registry_password"],
      problem: (s) =>
        (s.registry_username === "") !== (s.registry_password === undefined)
          ? `a schema registry that asks who we are needs both ${of("SCHEMA_REGISTRY_USER")} and ${of("SCHEMA_REGISTRY_PASSWORD")}`
          : undefined,
    },
  ];
}
