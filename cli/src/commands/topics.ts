/** `assay topics`: the one table of topics, what the broker has, and where the two differ. */
import { createLogger } from "@assay/runtime/logger";
import { allTopics, type TopicDefinition } from "@assay/schemas/topics";
import { embedded_partitions_default } from "@assay/stream/embedded-log";
import type { TopicCheck } from "@assay/stream/kafka-log";
import { openTopics } from "../distributed/open-log";
import { readDistributedSettings } from "../distributed/read-settings";
import { type KafkaSettings, onKafka } from "../distributed/settings";
import { differenceLines, type TopicRow, topicTable } from "../distributed/topic-table";
import { forCommand, withServers } from "../distributed/with-servers";
import { exitCodes, type Io, UserError } from "../io";

export const topicActions = ["show", "create", "check"] as const;
export type TopicAction = (typeof topicActions)[number];
export interface TopicsArguments {
  readonly format: "table" | "json";
}

export async function topics(action: TopicAction, options: TopicsArguments, io: Io): Promise<number> {
  if (!onKafka(io.env)) {
    if (action !== "show") {
      throw new UserError(
        `assay topics ${action} is for Kafka, and ASSAY_KAFKA_BROKERS is not set; the embedded log makes its topics itself, at each start`,
      );
    }
    const rows = allTopics.map((definition) => row(definition, embedded_partitions_default, undefined));
    print(rows, options, io);
    return exitCodes.ok;
  }
  const { kafka } = readDistributedSettings(io.env, { command: `assay topics ${action}`, store: false }, {});
  const checks = await askBroker(action, kafka);
  const rows = allTopics.map((definition) =>
    row(
      definition,
      kafka.partitions,
      checks.find((check) => check.topic === definition.name),
    ),
  );
  const lines = differenceLines(checks);
  if (action === "show" || options.format === "json") print(rows, options, io);
  if (options.format === "table") {
    if (action === "show" && lines.length > 0) io.stdout.write("\n");
    if (lines.length > 0) io.stdout.write(`${lines.join("\n")}\n`);
    else if (action !== "show") io.stdout.write("The topics are as they should be.\n");
  }
  return lines.length === 0 ? exitCodes.ok : exitCodes.failed;
}

async function askBroker(action: TopicAction, kafka: KafkaSettings): Promise<readonly TopicCheck[]> {
  return withServers(action === "create" ? "make the topics" : "look at the topics", async () => {
    const log = await openTopics(forCommand(kafka), "assay-topics", createLogger({ service: "topics", level: "warn" }));
    try {
      const before = await log.checkTopics(allTopics);
      if (action !== "create" || before.some((check) => check.differences.some((d) => d.fatal))) return before;
      await log.ensureTopics(allTopics);
      return await log.checkTopics(allTopics);
    } finally {
      await log.close();
    }
  });
}

function row(definition: TopicDefinition, keyed_partitions: number, check: TopicCheck | undefined): TopicRow {
  return { definition, partitions: definition.partitioning === "keyed" ? keyed_partitions : 1, check };
}

function print(rows: readonly TopicRow[], options: TopicsArguments, io: Io): void {
  if (options.format === "table") {
    io.stdout.write(`${topicTable(rows)}\n`);
    return;
  }
  const plain = rows.map(({ definition, partitions, check }) => ({
    topic: definition.name,
    partitions,
    cleanup: definition.cleanup,
    retention_ms: definition.retention_ms ?? null,
    key: definition.key,
    schemas: definition.schemas,
    ...(check === undefined ? {} : { exists: check.exists, differences: check.differences }),
  }));
  io.stdout.write(`${JSON.stringify(plain, null, 2)}\n`);
}
