import { openKafka } from "@assay/cli/distributed/open-log";
import { kafkaRelations, kafkaSettings } from "@assay/cli/distributed/settings";
import { createLogger } from "@assay/runtime/logger";
import { readSettings } from "@assay/runtime/settings";
import type { KafkaLogOptions } from "@assay/stream/kafka-log";

/** A registry that stays away until it is closed, and a log that waits for what it is doing. */
jest.mock("@assay/stream/schema-registry", () => ({
  async openSchemaRegistry() {
    let end: (why: Error) => void = () => undefined;
    const away = new Promise<void>((_, reject) => {
      end = reject;
    });
    away.catch(() => undefined);
    return { learn: () => away, close: async () => end(new Error("closed")) };
  },
}));
jest.mock("@assay/stream/kafka-log", () => ({
  async openKafkaLog({ beforeRecords }: KafkaLogOptions) {
    let reading: Promise<unknown> = Promise.resolve();
    return {
      read() {
        reading = beforeRecords?.([]) ?? reading;
        return reading;
      },
      close: async () => void (await Promise.allSettled([reading])),
    };
  },
}));

test("a log that is closed while a read waits for the registry ends that read", async () => {
  const env = { ASSAY_KAFKA_BROKERS: "k:9092", ASSAY_SCHEMA_REGISTRY_URL: "http://registry:8080" };
  const read = readSettings(kafkaSettings, env, kafkaRelations);
  if (!read.ok) throw new Error(read.problems.join());
  const opened = await openKafka(read.settings, "test", createLogger({ service: "test", level: "silent" }));
  const reading = opened.log.read("assay.telemetry", 0, 0, 1);
  const closed = opened.close();
  await expect(reading).rejects.toThrow("closed");
  await closed;
});
