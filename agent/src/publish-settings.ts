/** Where the agent's records go: through ingest, or, for a trusted publisher, straight to Kafka. */
import {
  defineSettings,
  flag,
  oneOf,
  optionalPath,
  optionalUrl,
  type Relation,
  type SettingsOf,
  secret,
  text,
} from "@assay/runtime/settings";

export const publishSettings = defineSettings({
  publish: oneOf("ASSAY_AGENT_PUBLISH", {
    doc: "ingest, or kafka for a trusted publisher: its records go straight to the topics, unchecked by ingest, and with its own clock's time.",
    values: ["ingest", "kafka"],
    default: "ingest",
  }),
  kafka_brokers: text("ASSAY_AGENT_KAFKA_BROKERS", {
    doc: "With ASSAY_AGENT_PUBLISH=kafka: some of the brokers.",
    default: "",
    pattern: /^(?:[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5})(?:,(?:[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}))*$/,
    form: "host:port with commas between",
  }),
  kafka_tls: flag("ASSAY_AGENT_KAFKA_TLS", { doc: "Speaks TLS with the brokers.", default: false }),
  kafka_ca_file: optionalPath("ASSAY_AGENT_KAFKA_CA_FILE", {
    doc: "PEM of the authority that the brokers' certificates are from; the system's where it isn't set.",
  }),
  kafka_cert_file: optionalPath("ASSAY_AGENT_KAFKA_CERT_FILE", { doc: "PEM of the agent's certificate, for mutual TLS." }),
  kafka_key_file: optionalPath("ASSAY_AGENT_KAFKA_KEY_FILE", { doc: "PEM of that certificate's key." }),
  kafka_sasl: oneOf("ASSAY_AGENT_KAFKA_SASL", {
    doc: "How the agent says to the brokers who it is.",
    values: ["none", "plain", "scram-sha-256", "scram-sha-512"],
    default: "none",
  }),
  kafka_user: text("ASSAY_AGENT_KAFKA_USER", { doc: "For SASL.", default: "" }),
  kafka_password: secret("ASSAY_AGENT_KAFKA_PASSWORD", { doc: "For SASL." }),
  registry_url: optionalUrl("ASSAY_AGENT_SCHEMA_REGISTRY_URL", {
    doc: "With ASSAY_AGENT_PUBLISH=kafka: the registry that the services use, which says the ids of the agent's schemas.",
    protocols: ["http:", "https:"],
  }),
  registry_ca_file: optionalPath("ASSAY_AGENT_SCHEMA_REGISTRY_CA_FILE", {
    doc: "PEM of the authority that the registry's certificate is from.",
  }),
  registry_user: text("ASSAY_AGENT_SCHEMA_REGISTRY_USER", { doc: "For the registry; it needs to read only.", default: "" }),
  registry_password: secret("ASSAY_AGENT_SCHEMA_REGISTRY_PASSWORD", { doc: "For the registry." }),
});

export type PublishConfig = SettingsOf<typeof publishSettings>;

export const publishRelations: readonly Relation<typeof publishSettings>[] = [
  {
    between: ["publish", "kafka_brokers", "registry_url"],
    problem({ publish, kafka_brokers, registry_url }) {
      if (publish !== "kafka") return undefined;
      const missing = [
        ...(kafka_brokers === "" ? ["ASSAY_AGENT_KAFKA_BROKERS"] : []),
        ...(registry_url === undefined ? ["ASSAY_AGENT_SCHEMA_REGISTRY_URL"] : []),
      ];
      return missing.length === 0 ? undefined : `ASSAY_AGENT_PUBLISH is kafka, which needs ${missing.join(" and ")}`;
    },
  },
  {
    between: ["kafka_sasl", "kafka_user", "kafka_password"],
    problem({ kafka_sasl, kafka_user, kafka_password }) {
      if (kafka_sasl === "none" || (kafka_user !== "" && kafka_password !== undefined)) return undefined;
      return `ASSAY_AGENT_KAFKA_SASL is ${kafka_sasl}, which needs ASSAY_AGENT_KAFKA_USER and ASSAY_AGENT_KAFKA_PASSWORD`;
    },
  },
  {
    between: ["kafka_tls", "kafka_ca_file", "kafka_cert_file", "kafka_key_file"],
    problem({ kafka_tls, kafka_ca_file, kafka_cert_file, kafka_key_file }) {
      if ((kafka_cert_file === undefined) !== (kafka_key_file === undefined)) {
        return "ASSAY_AGENT_KAFKA_CERT_FILE and ASSAY_AGENT_KAFKA_KEY_FILE go together";
      }
      if (kafka_tls || (kafka_ca_file ?? kafka_cert_file) === undefined) return undefined;
      return "ASSAY_AGENT_KAFKA_TLS is false, and certificates are named: without TLS nobody looks at them";
    },
  },
];
