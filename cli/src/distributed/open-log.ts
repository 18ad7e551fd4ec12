/**
 * The log that the settings name, with the codec that reads it: the embedded one with the schemas folder's ids, or Kafka with those
 * of a schema registry. Every thread opens its own.
 */
import type { Logger } from "@assay/runtime/logger";
import type { Readiness } from "@assay/runtime/service";
import { type Environment, readSettings } from "@assay/runtime/settings";
import { Codec, folderIds } from "@assay/schemas/codec";
import { allTopics } from "@assay/schemas/topics";
import { attachEmbeddedLog, type EmbeddedLog, type EmbeddedLogOptions, openEmbeddedLog } from "@assay/stream/embedded-log";
import type { KafkaLog, KafkaLogOptions } from "@assay/stream/kafka-log";
import type { Log, LogRecord } from "@assay/stream/log";
import type { SchemaRegistryOptions } from "@assay/stream/schema-registry";
import { UserError } from "../io";
import { missingTopics } from "./await-setup";
import { type KafkaSettings, kafkaRelations, kafkaSettings, onKafka } from "./settings";
import { pemFile } from "./store-login";

/** Plain data, so that it may cross threads. The directory is that of the embedded log, which this process owns. */
export type LogPlan =
  | { readonly kind: "embedded"; readonly directory: string }
  | { readonly kind: "kafka"; readonly settings: KafkaSettings };

export function planLog(env: Environment, directory: string): LogPlan {
  return onKafka(env) ? { kind: "kafka", settings: readKafkaSettings(env) } : { kind: "embedded", directory };
}

export interface OpenLog<L extends Log = Log> {
  readonly log: L;
  readonly codec: Codec;
  /** The codec knows these records' schemas afterwards; of records that the log hands out it does anyway. */
  learn(records: readonly Pick<LogRecord, "value">[]): Promise<void>;
  ready(): Readiness;
  /** Once, after everything that uses it. */
  close(): Promise<void>;
}

/** client_id tells this one from the brokers' other clients. Rejects where the world stays away past its retries. */
export async function openLog(plan: LogPlan, client_id: string, logger: Logger): Promise<OpenLog> {
  if (plan.kind === "kafka") return openWithTopics(plan.settings, client_id, logger);
  return embedded(await attachEmbeddedLog({ directory: plan.directory }));
}

/** As openLog, for the process that owns the embedded log. */
export async function openOwnLog(
  plan: LogPlan,
  client_id: string,
  logger: Logger,
  limits: Pick<EmbeddedLogOptions, "max_bytes" | "owner_wait_ms"> = {},
): Promise<OpenLog> {
  if (plan.kind === "kafka") return openWithTopics(plan.settings, client_id, logger);
  return embedded(await openEmbeddedLog({ directory: plan.directory, logger, ...limits }));
}

function embedded(log: EmbeddedLog): OpenLog {
  return {
    log,
    codec: new Codec(folderIds()),
    learn: async () => undefined,
    ready: () => ({ ready: true }),
    close: () => log.close(),
  };
}

async function openWithTopics(settings: KafkaSettings, client_id: string, logger: Logger): Promise<OpenLog> {
  const opened = await openKafka(settings, client_id, logger);
  try {
    // They are there (await-setup.ts, host-services.ts); this has the log know them.
    await opened.log.ensureTopics(allTopics);
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

export async function openKafka(settings: KafkaSettings, client_id: string, logger: Logger): Promise<OpenLog<KafkaLog>> {
  const { openSchemaRegistry } = await import("@assay/stream/schema-registry");
  const ids = await openSchemaRegistry({ ...registryOptions(settings), logger });
  try {
    const log = await openTopics(settings, client_id, logger, (records) => ids.learn(records));
    return {
      log,
      codec: new Codec(ids),
      learn: (records) => ids.learn(records),
      ready: () => log.ready(),
      // Together: a read that waits for the registry ends with that.
      async close() {
        await Promise.all([log.close(), ids.close()]);
      },
    };
  } catch (error) {
    await ids.close();
    throw error;
  }
}

/** Of topics that a setup has made; makes none. Throws UserError where there are none. */
export async function openExisting(settings: KafkaSettings, client_id: string, logger: Logger): Promise<OpenLog<KafkaLog>> {
  const opened = await openKafka(settings, client_id, logger);
  try {
    const missing = missingTopics(await opened.log.checkTopics(allTopics));
    if (missing !== undefined) throw new UserError(`${missing}: run assay setup first`);
    await opened.log.ensureTopics(allTopics);
    return opened;
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The log without a registry: for its topics, or (with beforeRecords) the records too. */
export async function openTopics(
  settings: KafkaSettings,
  client_id: string,
  logger: Logger,
  beforeRecords?: KafkaLogOptions["beforeRecords"],
): Promise<KafkaLog> {
  // Loaded here, so that every thread of an embedded Assay does without Kafka's client.
  const { openKafkaLog } = await import("@assay/stream/kafka-log");
  return openKafkaLog({ ...kafkaOptions(settings), client_id, logger, ...(beforeRecords ? { beforeRecords } : {}) });
}

/** Throws UserError where a file can't be read. */
export function kafkaOptions(s: KafkaSettings): Omit<KafkaLogOptions, "client_id"> {
  const tls = {
    ...(s.kafka_ca_file === undefined ? {} : { ca: pemFile("ASSAY_KAFKA_CA_FILE", s.kafka_ca_file) }),
    ...(s.kafka_certificate_file === undefined
      ? {}
      : { certificate: pemFile("ASSAY_KAFKA_CERT_FILE", s.kafka_certificate_file) }),
    ...(s.kafka_key_file === undefined ? {} : { key: pemFile("ASSAY_KAFKA_KEY_FILE", s.kafka_key_file) }),
  };
  return {
    brokers: s.kafka_brokers.split(","),
    ...(s.kafka_tls ? { tls } : {}),
    ...(s.kafka_sasl === "none"
      ? {}
      : { sasl: { mechanism: s.kafka_sasl, username: s.kafka_username, password: s.kafka_password ?? "" } }),
    partitions: s.partitions,
    ...(s.replication_factor === 0 ? {} : { replication_factor: s.replication_factor }),
    compression: s.compression,
    session_ms: s.session_ms,
    rebalance_ms: s.rebalance_ms,
    retry_wait_ms: s.retry_ms,
  };
}

function registryOptions(s: KafkaSettings): SchemaRegistryOptions {
  return {
    url: s.registry_url ?? "",
    ...(s.registry_username === "" ? {} : { username: s.registry_username }),
    ...(s.registry_password === undefined ? {} : { password: s.registry_password }),
    ...(s.registry_ca_file === undefined ? {} : { ca: pemFile("ASSAY_SCHEMA_REGISTRY_CA_FILE", s.registry_ca_file) }),
    retry_wait_ms: s.retry_ms,
  };
}

function readKafkaSettings(env: Environment): KafkaSettings {
  const read = readSettings(kafkaSettings, env, kafkaRelations);
  if (!read.ok) throw new Error(read.problems.join("; "));
  return read.settings;
}
