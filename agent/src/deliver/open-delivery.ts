/** The delivery that the settings name. */
import { readFileSync } from "node:fs";
import type { Codec } from "@assay/schemas/codec";
import type { OwnConnections } from "../collect/excluded";
import type { AgentConfig } from "../config";
import type { Delivery } from "./delivery";
import { HttpClient } from "./http-client";
import { IngestDelivery } from "./ingest-delivery";
import type { KafkaConnection } from "./kafka-producer";
import type { AgentLogger } from "./logger";
import { answer_bytes, RegisteredIds } from "./registered-ids";
import type { StateFolder } from "./state-folder";

export interface DeliveryParts {
  readonly state: StateFolder;
  readonly codec: Codec;
  readonly logger: AgentLogger;
  readonly own: OwnConnections;
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  readonly now: () => number;
}

/** Throws where a file that the settings name can't be read. Connects to nothing yet. */
export function openDelivery(config: AgentConfig, parts: DeliveryParts): Delivery {
  const { request_wait_ms, publish, registry_url } = config;
  const { own, host_id, now, logger } = parts;
  if (publish === "ingest" || registry_url === undefined) {
    const client = new HttpClient({ url: config.ingest_url, request_wait_ms, ca: pem(config.ingest_ca), own });
    return new IngestDelivery({ ...parts, client, secret: config.enrol_secret });
  }
  const ca = pem(config.registry_ca_file);
  const client = new HttpClient({ url: registry_url, request_wait_ms, ca, own, compress: false, answer_bytes_max: answer_bytes });
  const { registry_username: username, registry_password: password = "" } = config;
  // Only here: kafkajs takes room that most agents don't need.
  const { KafkaDelivery } = require("./kafka-delivery") as typeof import("./kafka-delivery");
  logger.info({ brokers: config.kafka_brokers }, "publishes straight to Kafka, as a trusted publisher");
  const ids = new RegisteredIds({ client, username, password });
  return new KafkaDelivery({ connection: connectionOf(config), ids, request_wait_ms, own, host_id, now });
}

function connectionOf(config: AgentConfig): KafkaConnection {
  const { kafka_brokers, kafka_tls, kafka_sasl, kafka_username: username, kafka_password: password = "" } = config;
  return {
    brokers: kafka_brokers.split(","),
    ...(kafka_tls ? { tls: tlsOf(config) } : {}),
    ...(kafka_sasl === "none" ? {} : { sasl: { mechanism: kafka_sasl, username, password } as KafkaConnection["sasl"] & object }),
  };
}

function tlsOf({ kafka_ca_file, kafka_certificate_file, kafka_key_file }: AgentConfig): KafkaConnection["tls"] & object {
  return {
    ...(kafka_ca_file === undefined ? {} : { ca: readFileSync(kafka_ca_file) }),
    ...(kafka_certificate_file === undefined ? {} : { cert: readFileSync(kafka_certificate_file) }),
    ...(kafka_key_file === undefined ? {} : { key: readFileSync(kafka_key_file) }),
  };
}

function pem(file: string | undefined): string | undefined {
  return file === undefined ? undefined : readFileSync(file, "utf8");
}
