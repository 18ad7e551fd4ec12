/** Where the tests' Kafka and schema registry come from: the first of three that can be had. */
import { startContainers } from "./containers";
import { askKafkaVersion } from "./kafka-version";
import { settingOf, startLocalKafka } from "./local-kafka";

export interface KafkaEnvironment {
  /** host:port, comma separated. */
  readonly brokers: string;
  readonly registry_url: string;
  /** For people. */
  readonly source: string;
  stop(): Promise<void>;
}

/** Rejects with what to install when there is no way to a Kafka. */
export async function openKafkaEnvironment(env: NodeJS.ProcessEnv, say: (message: string) => void): Promise<KafkaEnvironment> {
  const { ASSAY_KAFKA_BROKERS, ASSAY_SCHEMA_REGISTRY_URL } = env;
  if (ASSAY_KAFKA_BROKERS) return named(ASSAY_KAFKA_BROKERS, ASSAY_SCHEMA_REGISTRY_URL, say);

  let noContainers: string;
  try {
    return { ...(await startContainers()), source: "containers" };
  } catch (error) {
    noContainers = error instanceof Error ? error.message : String(error);
    say(`no Kafka in a container (${noContainers}); taking the jars`);
  }
  try {
    const kafka = await startLocalKafka([], say);
    return {
      brokers: settingOf(kafka, "ASSAY_KAFKA_BROKERS"),
      registry_url: settingOf(kafka, "ASSAY_SCHEMA_REGISTRY_URL"),
      source: "jars (deploy/local-kafka)",
      stop: () => kafka.stop(),
    };
  } catch (error) {
    const noJars = error instanceof Error ? error.message : String(error);
    throw new Error(
      `there is no Kafka for the integration tests. Give one of these:
  1. ASSAY_KAFKA_BROKERS=host:port of a Kafka 4 (and ASSAY_SCHEMA_REGISTRY_URL);
  2. a container engine that this user may use: ${noContainers};
  3. Java 17 and Maven (Debian, Ubuntu: apt-get install openjdk-17-jre-headless maven), for a Kafka from plain jars: ${noJars}
ASSAY_SKIP_INTEGRATION=1 skips these tests.`,
    );
  }
}

/** The user's own; a registry from the jars when only the broker is named. */
async function named(
  brokers: string,
  registry_url: string | undefined,
  say: (message: string) => void,
): Promise<KafkaEnvironment> {
  if (registry_url) return { brokers, registry_url, source: "ASSAY_KAFKA_BROKERS", stop: () => Promise.resolve() };
  await askKafkaVersion(brokers.split(",")[0] ?? ""); // before the wait for the registry
  const registry = await startLocalKafka(["--no-broker"], say);
  return {
    brokers,
    registry_url: settingOf(registry, "ASSAY_SCHEMA_REGISTRY_URL"),
    source: "ASSAY_KAFKA_BROKERS, with a registry from the jars",
    stop: () => registry.stop(),
  };
}
