/** Logs of one test file on a broker that others use too: under a prefix of their own, closed and removed after each test. */
import { randomBytes } from "node:crypto";
import { type KafkaLog, type KafkaLogOptions, openKafkaLog } from "@assay/stream/kafka-log";
import { Kafka, logLevel } from "kafkajs";

export class TestLogs {
  readonly prefix = `t${randomBytes(6).toString("hex")}-`;
  /** What the logs have told, newest last. */
  readonly told: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  private readonly logs: KafkaLog[] = [];

  constructor(
    readonly brokers: readonly string[],
    private readonly options: Partial<KafkaLogOptions> = {},
  ) {}

  async open(options: Partial<KafkaLogOptions> = {}): Promise<KafkaLog> {
    const log = await openKafkaLog({
      brokers: this.brokers,
      client_id: "integration-tests",
      partitions: 4,
      topic_prefix: this.prefix,
      session_ms: 6_000,
      retry_wait_ms: 30_000,
      logger: { info: this.tell("info"), warn: this.tell("warn"), error: this.tell("error") },
      ...this.options,
      ...options,
    });
    this.logs.push(log);
    return log;
  }

  async dispose(): Promise<void> {
    for (const log of this.logs) await log.close();
    await this.administer(async (admin) => {
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(this.prefix));
      if (topics.length > 0) await admin.deleteTopics({ topics });
    });
  }

  async administer<T>(work: (admin: ReturnType<Kafka["admin"]>) => Promise<T>): Promise<T> {
    const { NOTHING } = logLevel;
    const admin = new Kafka({ brokers: [...this.brokers], logLevel: NOTHING, connectionTimeout: 10_000 }).admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  private tell(level: string) {
    return (fields: object, message: string) => void this.told.push({ level, fields, message });
  }
}
