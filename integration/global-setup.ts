/** Before all integration tests: sets ASSAY_TEST_KAFKA_BROKERS and ASSAY_TEST_SCHEMA_REGISTRY_URL, from which they take where to connect. */
import { type KafkaEnvironment, openKafkaEnvironment } from "./kafka-environment";
import { askKafkaVersion } from "./kafka-version";

/** Jest gives its teardown nothing from here but what is global. */
export interface OpenedForTests {
  assayKafkaEnvironment?: KafkaEnvironment;
}

export default async function setUp(): Promise<void> {
  const say = (message: string) => void process.stderr.write(`${message.trimEnd()}\n`);
  const environment = await openKafkaEnvironment(process.env, say);
  (globalThis as OpenedForTests).assayKafkaEnvironment = environment;
  const [broker = ""] = environment.brokers.split(",");
  const version = await askKafkaVersion(broker).catch(async (error: unknown) => {
    await environment.stop();
    throw error;
  });
  say(
    `integration tests: Kafka ${version.text} at ${environment.brokers}, schema registry at ${environment.registry_url}; from ${environment.source}`,
  );
  process.env.ASSAY_TEST_KAFKA_BROKERS = environment.brokers;
  process.env.ASSAY_TEST_SCHEMA_REGISTRY_URL = environment.registry_url;
}
