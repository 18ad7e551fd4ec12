import { randomBytes } from "node:crypto";
import { record_bytes_max } from "@assay/stream/kafka/prepare-records";
import { openKafkaLog } from "@assay/stream/kafka-log";
import { Kafka, logLevel } from "kafkajs";
import { contract_partitions, describeLogContract } from "../packages/stream/test/log-contract";

const brokers = (process.env["ASSAY_TEST_KAFKA_BROKERS"] ?? "").split(",");

describeLogContract("the log on Kafka", async () => {
  const topic_prefix = `t${randomBytes(6).toString("hex")}-`;
  const open = (partitions: number) =>
    openKafkaLog({ brokers, client_id: "contract", partitions, topic_prefix, session_ms: 6_000, retry_wait_ms: 10_000 });
  let log = await open(contract_partitions);
  return {
    log,
    record_bytes_max,
    rebalance_ms: 15_000,
    async reopen(partitions = contract_partitions) {
      await log.close();
      log = await open(partitions);
      return log;
    },
    async dispose() {
      await log.close();
      await deleteTopics(topic_prefix);
    },
  };
});

async function deleteTopics(prefix: string): Promise<void> {
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
  await admin.deleteTopics({ topics });
  await admin.disconnect();
}
