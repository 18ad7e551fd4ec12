/** Where the agent's records go: through ingest, or, for a trusted publisher, straight to Kafka. */
import { kafkaConnectionRelations, kafkaConnectionSettings } from "@assay/runtime/kafka-settings";
import { defineSettings, oneOf, type Relation } from "@assay/runtime/settings";

export const publishSettings = defineSettings({
  publish: oneOf("ASSAY_AGENT_PUBLISH", {
    doc: "ingest, or kafka for a trusted publisher: its records go straight to the topics, unchecked by ingest, and with its own clock's time.",
    values: ["ingest", "kafka"],
    default: "ingest",
  }),
  ...kafkaConnectionSettings("ASSAY_AGENT", {
    brokers: "With ASSAY_AGENT_PUBLISH=kafka: some of the brokers, as host:port,host:port.",
    registry_url:
      "With ASSAY_AGENT_PUBLISH=kafka: the registry that the services use, which says the ids of the agent's schemas. It is read only.",
  }),
});

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
  ...kafkaConnectionRelations("ASSAY_AGENT"),
];
