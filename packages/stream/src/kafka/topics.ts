/**
 * The topics on the brokers: created from the table, compared with it, never changed. Partition counts are remembered, since they are fixed.
 */
import type { TopicDefinition } from "@assay/schemas/topics";
import { ConfigResourceTypes } from "kafkajs";
import type { KafkaClient } from "./client";
import { isTransient, transient } from "./errors";
import { errorOfCode, sendCreateTopics } from "./kafkajs";
import type { KafkaLogOptions, TopicCheck } from "./options";
import { GivenUpError, type Patience } from "./patience";

export interface KnownTopic {
  readonly partitions: number;
  /** Undefined until it was ensured by its definition. */
  readonly cleanup: TopicDefinition["cleanup"] | undefined;
}

export const kafka_partitions_default = 64;
/** One batch, as it is on the wire: a record of the largest size and its overhead, or many small ones. */
export const message_bytes_max = 2_097_152;

export class Topics {
  private readonly known = new Map<string, KnownTopic>();
  private readonly partitions: number;
  private readonly prefix: string;

  constructor(
    private readonly options: KafkaLogOptions,
    private readonly client: KafkaClient,
    private readonly patience: Patience,
  ) {
    this.partitions = options.partitions ?? kafka_partitions_default;
    this.prefix = options.topic_prefix ?? "";
  }

  /** Throws for a topic that was neither ensured nor looked up. */
  get(name: string): KnownTopic {
    const topic = this.known.get(name);
    if (!topic)
      throw new Error(`Kafka at ${this.options.brokers.join(", ")} has no topic ${this.prefix}${name}: it was never created`);
    return topic;
  }

  has(name: string): boolean {
    return this.known.has(name);
  }

  /** Asks the brokers for those that aren't known yet; what doesn't exist stays unknown. */
  async lookUp(names: readonly string[]): Promise<void> {
    const unknown = [...new Set(names)].filter((name) => !this.known.has(name));
    if (unknown.length === 0) return;
    const counts = await this.counts(unknown);
    for (const [name, partitions] of counts) {
      if (partitions !== undefined) this.known.set(name, { partitions, cleanup: undefined });
    }
  }

  async ensure(definitions: readonly TopicDefinition[]): Promise<void> {
    const before = await this.counts(definitions.map(({ name }) => name));
    const missing = definitions.filter(({ name }) => before.get(name) === undefined);
    if (missing.length > 0) await this.create(missing);
    const counts = missing.length > 0 ? await this.countsOnceCreated(definitions) : before;
    for (const definition of definitions) {
      const found = counts.get(definition.name) ?? 0;
      const wanted = this.wantedPartitions(definition);
      if (found !== wanted) throw new Error(this.countDiffers(definition.name, found, wanted));
      this.known.set(definition.name, { partitions: found, cleanup: definition.cleanup });
    }
    for (const { topic, differences } of await this.check(definitions)) {
      for (const { what, wanted, found, fatal } of differences) {
        const message = `topic ${this.prefix}${topic} has ${what}=${found}, where ${wanted} is asked for`;
        if (fatal) throw new Error(`${message}. Set it with kafka-configs, or create the topic anew; assay topics shows all`);
        this.options.logger?.warn({ topic, what, wanted, found }, "a topic's setting isn't as Assay creates it");
      }
    }
  }

  async check(definitions: readonly TopicDefinition[]): Promise<readonly TopicCheck[]> {
    const counts = await this.counts(definitions.map(({ name }) => name));
    const existing = definitions.filter(({ name }) => counts.get(name) !== undefined);
    const settings = existing.length > 0 ? await this.settings(existing) : new Map<string, ReadonlyMap<string, string>>();
    return definitions.map((definition) => {
      const count = counts.get(definition.name);
      if (count === undefined) return { topic: definition.name, exists: false, differences: [] };
      const wanted_count = this.wantedPartitions(definition);
      const found = settings.get(definition.name) ?? new Map<string, string>();
      const replication = this.client.replication(this.prefix + definition.name);
      const differences = [...compareSettings(definition, found), ...compareReplication(replication, found)];
      if (count !== wanted_count) {
        differences.unshift({ what: "partitions", wanted: String(wanted_count), found: String(count), fatal: true });
      }
      return { topic: definition.name, exists: true, differences };
    });
  }

  private wantedPartitions({ partitioning }: TopicDefinition): number {
    return partitioning === "keyed" ? this.partitions : 1;
  }

  private async counts(names: readonly string[]): Promise<Map<string, number | undefined>> {
    const real = names.map((name) => this.prefix + name);
    const counts = await this.patience.untilKnown(() => this.client.partitionCounts(real), { what: "looking up topics" });
    return new Map(names.map((name) => [name, counts.get(this.prefix + name)]));
  }

  /** Brokers learn of a new topic one after the other. */
  private async countsOnceCreated(definitions: readonly TopicDefinition[]): Promise<Map<string, number | undefined>> {
    return this.patience.untilKnown(
      async () => {
        const counts = await this.counts(definitions.map(({ name }) => name));
        for (const { name } of definitions) {
          const count = counts.get(name);
          const real = this.prefix + name;
          const led = Array.from({ length: count ?? 0 }, (_, partition) => this.client.leader(real, partition));
          if (count === undefined || led.includes(undefined)) throw transient(`${real} isn't there yet`);
        }
        return counts;
      },
      { what: "creating topics" },
    );
  }

  private async create(definitions: readonly TopicDefinition[]): Promise<void> {
    const factor = this.options.replication_factor ?? (await this.defaultFactor());
    const safety = factor !== undefined && factor >= replicas_wanted ? [in_sync] : [];
    const topics = definitions.map((definition) => ({
      topic: this.prefix + definition.name,
      numPartitions: this.wantedPartitions(definition),
      replicationFactor: this.options.replication_factor ?? -1, // -1: the broker's default
      configEntries: [...topicSettings(definition), ...safety].map(([name, value]) => ({ name, value })),
    }));
    const answers = await this.patience.untilKnown(
      async () => {
        const answers = await sendCreateTopics(await this.client.controller(), topics);
        const late = answers.find(({ errorCode }) => errorCode !== 0 && isTransient(errorOfCode(errorCode)));
        if (late) throw errorOfCode(late.errorCode);
        return answers;
      },
      { what: "creating topics", recover: () => this.client.refresh() },
    );
    for (const { topic, errorCode, errorMessage } of answers) {
      if (errorCode === 0) this.options.logger?.info({ topic }, "topic created");
      else if (errorCode !== topic_exists) {
        throw new Error(`the topic ${topic} can't be created: ${errorMessage ?? errorOfCode(errorCode).message}`);
      }
    }
  }

  /** How many replicas the brokers give a topic that doesn't ask. Undefined where Assay hasn't got the right to know. */
  private async defaultFactor(): Promise<number | undefined> {
    const name = "default.replication.factor";
    try {
      const { resources } = await this.patience.untilKnown(
        async () => {
          const broker = await this.client.controller();
          const of_broker = { type: ConfigResourceTypes.BROKER, name: String(broker.nodeId), configNames: [name] };
          return broker.describeConfigs({ resources: [of_broker] });
        },
        { what: "reading the brokers' settings", recover: () => this.client.refresh() },
      );
      const found = resources[0]?.configEntries.find(({ configName }) => configName === name);
      return found && Number(found.configValue);
    } catch (error) {
      if (error instanceof GivenUpError) throw error;
      this.options.logger?.warn(
        { error },
        `the brokers don't tell their ${name}: topics are created without min.insync.replicas`,
      );
      return undefined;
    }
  }

  private async settings(definitions: readonly TopicDefinition[]): Promise<Map<string, ReadonlyMap<string, string>>> {
    const resources = definitions.map((definition) => ({
      type: ConfigResourceTypes.TOPIC,
      name: this.prefix + definition.name,
      configNames: [...topicSettings(definition).keys(), in_sync[0]],
    }));
    const described = await this.patience.untilKnown(
      async () => (await this.client.controller()).describeConfigs({ resources }),
      { what: "reading topics' settings", recover: () => this.client.refresh() },
    );
    return new Map(
      described.resources.map(({ resourceName, configEntries }) => [
        resourceName.slice(this.prefix.length),
        new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
      ]),
    );
  }

  private countDiffers(name: string, found: number, wanted: number): string {
    return (
      `topic ${this.prefix}${name} has ${found} partitions and ${wanted} are asked for (ASSAY_KAFKA_PARTITIONS). ` +
      `Keys would go to other partitions than before. To go on, set ASSAY_KAFKA_PARTITIONS=${found}. ` +
      "To change it, follow the steps that assay topics check tells: one topic must be kept"
    );
  }
}

/** Another service was faster. */
const topic_exists = 36;
const hour = 3_600_000;
/** One broker may be away, and another one's disk be lost meanwhile, without losing what was appended. */
const replicas_wanted = 3;
const in_sync = ["min.insync.replicas", "2"] as const;

/**
 * The settings that a topic is created with.
 *
 * Stages restore checkpoints by reading a compacted topic from its start, so these are compacted soon and in small segments. What stages
 * read and also compact (inventory) keeps what was superseded for a day: a block that is built again after a crash must meet the same records.
 * Where a topic has three replicas or more, an append waits for two of them (min.insync.replicas), whatever the brokers' default.
 */
export function topicSettings({ cleanup, retention_ms }: TopicDefinition): ReadonlyMap<string, string> {
  const settings: [string, string | number][] = [
    ["cleanup.policy", { time: "delete", compact: "compact", compact_and_time: "compact,delete" }[cleanup]],
    ["max.message.bytes", message_bytes_max],
    ["message.timestamp.type", "CreateTime"],
  ];
  if (retention_ms !== undefined) settings.push(["retention.ms", retention_ms]);
  if (cleanup === "compact") {
    settings.push(
      ["segment.bytes", 33_554_432],
      ["segment.ms", hour / 6],
      ["min.cleanable.dirty.ratio", "0.1"],
      ["delete.retention.ms", hour],
    );
  }
  if (cleanup === "compact_and_time") settings.push(["min.compaction.lag.ms", 24 * hour]);
  return new Map(settings.map(([name, value]) => [name, String(value)]));
}

/** Fatal is what would lose, change or refuse records; the rest is the operator's to choose. */
function compareSettings(definition: TopicDefinition, found: ReadonlyMap<string, string>): TopicCheck["differences"][number][] {
  const differences: TopicCheck["differences"][number][] = [];
  for (const [what, wanted] of topicSettings(definition)) {
    const is = found.get(what);
    if (is === undefined || is === wanted) continue;
    if (what === "cleanup.policy") {
      const same = is.split(",").sort().join() === wanted.split(",").sort().join();
      if (!same) differences.push({ what, wanted, found: is, fatal: true });
    } else if (what === "max.message.bytes") {
      if (Number(is) < Number(wanted)) differences.push({ what, wanted, found: is, fatal: true });
    } else if (what === "min.compaction.lag.ms") {
      differences.push({ what, wanted, found: is, fatal: Number(is) < Number(wanted) });
    } else differences.push({ what, wanted, found: is, fatal: what === "message.timestamp.type" });
  }
  return differences;
}

/** Told where there are brokers enough; the choice is the operator's. */
function compareReplication(
  { brokers, factor }: { readonly brokers: number; readonly factor: number },
  found: ReadonlyMap<string, string>,
): TopicCheck["differences"][number][] {
  if (brokers < replicas_wanted) return [];
  if (factor < replicas_wanted) {
    return [{ what: "replication.factor", wanted: String(replicas_wanted), found: String(factor), fatal: false }];
  }
  const [what, wanted] = in_sync;
  const is = found.get(what);
  return is !== undefined && Number(is) < Number(wanted) ? [{ what, wanted, found: is, fatal: false }] : [];
}
