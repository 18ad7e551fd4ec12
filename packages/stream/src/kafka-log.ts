/**
 * The log on Apache Kafka (2.4 or newer), by kafkajs' connections and requests; kafka/kafkajs.ts says which.
 *
 * Appends are durable when all in-sync replicas have them. A record that can't be sent for want of brokers is sent again until
 * it is known to be written, for retry_wait_ms; then the call rejects and it is unknown. Topics are created with the settings of
 * kafka/topics.ts and never changed.
 */
import type { TopicDefinition } from "@assay/schemas/topics";
import { KafkaClient } from "./kafka/client";
import { placeOf, readCommitted } from "./kafka/member";
import type { KafkaLogOptions, TopicCheck } from "./kafka/options";
import { Patience } from "./kafka/patience";
import { prepareRecords } from "./kafka/prepare-records";
import { Producer } from "./kafka/producer";
import { Reader } from "./kafka/reader";
import { KafkaSource } from "./kafka/source";
import { Topics } from "./kafka/topics";
import type { Appended, Committed, Log, LogRecord, NewRecord, Source, SourceOptions } from "./log";
import { partitionOfKey } from "./partitioner";

export type { KafkaLogLogger, KafkaLogOptions, TopicCheck } from "./kafka/options";

export interface KafkaLog extends Log {
  /** What the definitions ask for and what the brokers have; changes nothing. */
  checkTopics(topics: readonly TopicDefinition[]): Promise<readonly TopicCheck[]>;
  ready(): { readonly ready: true } | { readonly ready: false; readonly reason: string };
}

export const session_ms_default = 45_000;
export const rebalance_ms_default = 60_000;
export const retry_wait_ms_default = 300_000;

/** Resolves once a broker has answered. The caller closes it. */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  const log = new LogOnKafka(options);
  try {
    await log.connect();
  } catch (error) {
    await log.close();
    throw error;
  }
  return log;
}

class LogOnKafka implements KafkaLog {
  private readonly client: KafkaClient;
  private readonly patience: Patience;
  private readonly topics: Topics;
  private readonly producer: Producer;
  private readonly reader: Reader;
  private readonly sources = new Set<KafkaSource>();
  private readonly prefix: string;
  private readonly retry_wait_ms: number;
  /** The last of the appends that wait for their topics to be known. */
  private looking_up: Promise<void> | undefined;
  private closed: Promise<void> | undefined;

  constructor(private readonly options: KafkaLogOptions) {
    const { logger, compression = "lz4" } = options;
    this.prefix = options.topic_prefix ?? "";
    this.retry_wait_ms = options.retry_wait_ms ?? retry_wait_ms_default;
    this.client = new KafkaClient(options);
    this.patience = new Patience(this.retry_wait_ms, logger);
    this.topics = new Topics(options, this.client, this.patience);
    this.producer = new Producer(this.client, this.patience, compression, this.retry_wait_ms);
    this.reader = new Reader(this.client, this.patience);
  }

  async connect(): Promise<void> {
    await this.patience.untilKnown(() => this.client.refresh(), {
      what: `connecting to Kafka at ${this.options.brokers.join(", ")}`,
    });
  }

  ensureTopics(definitions: readonly TopicDefinition[]): Promise<void> {
    return this.topics.ensure(definitions);
  }

  checkTopics(definitions: readonly TopicDefinition[]): Promise<readonly TopicCheck[]> {
    return this.topics.check(definitions);
  }

  partitions(topic: string): number {
    return this.topics.get(topic).partitions;
  }

  partitionOf(topic: string, key: string): number {
    return partitionOfKey(key, this.partitions(topic));
  }

  async append(records: readonly NewRecord[]): Promise<readonly Appended[]> {
    const now = Date.now();
    if (this.looking_up || records.some(({ topic }) => !this.topics.has(topic))) await this.lookUpInTurn(records);
    const prepared = prepareRecords((name) => this.topics.get(name), records, now);
    return this.producer.append(prepared.map((record) => ({ ...record, topic: this.prefix + record.topic })));
  }

  async source(options: SourceOptions): Promise<Source> {
    this.failIfClosed();
    await this.topics.lookUp(options.topics);
    this.failIfClosed();
    for (const topic of options.topics) this.topics.get(topic);
    const client = new KafkaClient(
      this.options,
      options.topics.map((topic) => this.prefix + topic),
    );
    const source = new KafkaSource(client, this.client, this.patience, {
      ...options,
      session_ms: this.options.session_ms ?? session_ms_default,
      rebalance_ms: this.options.rebalance_ms ?? rebalance_ms_default,
      retry_wait_ms: this.retry_wait_ms,
      prefix: this.prefix,
      beforeRecords: this.options.beforeRecords,
      logger: this.options.logger,
      onClosed: () => this.sources.delete(source),
    });
    this.sources.add(source);
    return source;
  }

  async read(topic: string, partition: number, offset: number, max_records: number): Promise<readonly LogRecord[]> {
    await this.checkPartition(topic, partition);
    const records = await this.reader.read(this.prefix + topic, partition, offset, max_records);
    const named = this.prefix === "" ? records : records.map((record) => ({ ...record, topic }));
    await this.options.beforeRecords?.(named);
    return named;
  }

  async bounds(topic: string, partition: number): Promise<{ readonly earliest: number; readonly end: number }> {
    await this.checkPartition(topic, partition);
    return this.reader.bounds(this.prefix + topic, partition);
  }

  async committed(group: string, topic: string, partition: number): Promise<Committed | undefined> {
    const place = { topic: this.prefix + topic, partition };
    const real_group = this.prefix + group;
    const found = await this.patience.untilKnown(
      async () => readCommitted(await this.client.coordinator(real_group), real_group, [place]),
      { what: `reading what the group ${group} has committed`, recover: () => this.client.refresh() },
    );
    return found.get(placeOf(place));
  }

  ready() {
    return this.patience.ready();
  }

  close(): Promise<void> {
    this.closed ??= this.closeAll();
    return this.closed;
  }

  private async closeAll(): Promise<void> {
    await Promise.all([...this.sources].map((source) => source.close()));
    await this.producer.close();
    this.patience.close();
    await this.client.close();
  }

  /** So that an append whose topic is known by now doesn't overtake one that waits. */
  private async lookUpInTurn(records: readonly NewRecord[]): Promise<void> {
    const before = this.looking_up ?? Promise.resolve();
    const lookUp = () => this.topics.lookUp(records.map(({ topic }) => topic));
    const mine = before.then(lookUp, lookUp);
    this.looking_up = mine;
    try {
      await mine;
    } finally {
      if (this.looking_up === mine) this.looking_up = undefined;
    }
  }

  private async checkPartition(topic: string, partition: number): Promise<void> {
    this.failIfClosed();
    if (!this.topics.has(topic)) await this.topics.lookUp([topic]);
    const { partitions } = this.topics.get(topic);
    if (!Number.isInteger(partition) || partition < 0 || partition >= partitions) {
      throw new Error(`partition ${partition} of ${topic}, which has ${partitions}`);
    }
  }

  private failIfClosed(): void {
    if (this.closed) throw new Error("the log is closed");
  }
}
