/**
 * The ids of a Confluent-compatible schema registry, for the codec.
 *
 * The client (@kafkajs/confluent-schema-registry) registers and fetches schemas; decoding stays the codec's, synchronous and with one
 * resolver per writer: the client's own decode makes a resolver per message, and is two hundred times slower.
 *
 *   open ──▶ every version of every record of schemas/ is registered, oldest first; the newest one's id is what we write with
 *   learn ─▶ ids that stand in records and aren't known are fetched, before the records are handed out
 *              found, a record of ours ──▶ known: the codec reads it, or calls it incompatible
 *              found, anything else ─────▶ refused: incompatible_schema, a dead letter
 *              the registry has none ────▶ unknown for unknown_keep_ms: unknown_schema, a dead letter
 *              the registry is away ─────▶ asked again up to retry_wait_ms; then learn rejects, and no record is judged
 */
import type { SchemaIds, SchemaName } from "@assay/schemas/codec";
import { type SchemaVersion, schemaVersions } from "@assay/schemas/generated/schemas";
import { subjectOf } from "@assay/schemas/topics";
import { LearntIds } from "./schema-registry/learnt-ids";
import { RegistryClient, type RegistryClientOptions, type RegistryLogger } from "./schema-registry/registry-client";

export type SchemaRegistryOptions = RegistryClientOptions;

export interface RegistryIds extends SchemaIds {
  /** Fetches what these records' ids stand for. Rejects when the registry stayed away for retry_wait_ms, or was closed. */
  learn(records: readonly { readonly value: Buffer | null }[]): Promise<void>;
  /** Ends what waits for the registry. */
  close(): Promise<void>;
}

/** Rejects where the registry stays away, refuses the credentials, or refuses a current schema as incompatible. The caller closes it. */
export async function openSchemaRegistry(
  options: SchemaRegistryOptions,
  versions: readonly SchemaVersion[] = schemaVersions,
): Promise<RegistryIds> {
  const client = new RegistryClient(options);
  const current = new Map<SchemaName, number>();
  const learnt = new LearntIds(client, subjectOf("Command"));
  const registerAll = async (name: SchemaName) => {
    const ofName = versions.filter((version) => version.name === name);
    for (const version of ofName) {
      const id = await register(client, version, version === ofName.at(-1), options.logger);
      if (id === undefined) continue;
      current.set(name, id);
      learnt.add(id, { name, schema: version.schema });
    }
  };
  try {
    await Promise.all([...new Set(versions.map((version) => version.name))].map(registerAll));
  } catch (error) {
    client.close();
    throw error;
  }
  return {
    currentId(name) {
      const id = current.get(name);
      if (id === undefined) throw new Error(`no schema named ${name}`);
      return id;
    },
    writer: (id) => learnt.writer(id),
    refusal: (id) => learnt.refusal(id),
    learn: (records) => learnt.learn(records),
    async close() {
      client.close();
    },
  };
}

/** Undefined for an older version that the registry won't take behind newer ones: its id is learnt if a record has it. */
async function register(
  client: RegistryClient,
  version: SchemaVersion,
  current: boolean,
  logger: RegistryLogger | undefined,
): Promise<number | undefined> {
  const subject = subjectOf(version.name);
  const registered = await client.register(subject, version.schema);
  if (registered.kind === "registered") return registered.id;
  if (!current) {
    logger?.warn({ subject, version: version.version, reason: registered.detail }, "the schema registry takes no older version");
    return undefined;
  }
  throw new Error(
    `the schema registry at ${client.url} refuses version ${version.version} of ${version.name} under the subject ${subject}: ${registered.detail}. ` +
      "The subject holds a schema whose records this version of Assay can't read. If a newer Assay registered it, run that one; " +
      "if no record was written with it, delete that version of the subject, or name another registry (ASSAY_SCHEMA_REGISTRY_URL)",
  );
}
