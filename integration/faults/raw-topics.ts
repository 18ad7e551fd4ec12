/** The topics as anybody else with rights on them sees them: what stands there, and records of a test's own making, past all services. */
import { allTopics } from "@assay/schemas/topics";
import { type KafkaLog, openKafkaLog } from "@assay/stream/kafka-log";
import type { LogRecord } from "@assay/stream/log";
import { Kafka, logLevel, type Message, type Producer } from "kafkajs";

const read_records_max = 500;

export class RawTopics {
  private constructor(
    private readonly log: KafkaLog,
    private readonly producer: Producer,
  ) {}

  /** Owed a close. */
  static async open(brokers: readonly string[], partitions: number): Promise<RawTopics> {
    const log = await openKafkaLog({ brokers, client_id: "fault-tests", partitions });
    await log.ensureTopics(allTopics);
    const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.ERROR }).producer({ allowAutoTopicCreation: false });
    await producer.connect();
    return new RawTopics(log, producer);
  }

  async close(): Promise<void> {
    await this.producer.disconnect();
    await this.log.close();
  }

  /** All that a topic has, of each partition in its order. */
  async all(topic: string): Promise<LogRecord[]> {
    const found: LogRecord[] = [];
    for (let partition = 0; partition < this.log.partitions(topic); partition++) {
      const { earliest, end } = await this.log.bounds(topic, partition);
      for (let next = earliest; next < end; ) {
        const records = await this.log.read(topic, partition, next, read_records_max);
        found.push(...records);
        next = (records.at(-1)?.offset ?? end) + 1;
      }
    }
    return found;
  }

  async append(topic: string, messages: Message[]): Promise<void> {
    await this.producer.send({ topic, messages });
  }

  /** Each again where it was, at another time. */
  async replay(records: readonly LogRecord[], timestamp: number): Promise<void> {
    for (const topic of new Set(records.map((record) => record.topic))) {
      const messages = records
        .filter((record) => record.topic === topic)
        .map(({ key, value, partition }) => ({ key, value, partition, timestamp: String(timestamp) }));
      await this.append(topic, messages);
    }
  }
}
