/** Kafka and a schema registry in containers, when a container engine answers. */
import { KafkaContainer } from "@testcontainers/kafka";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers";

const kafka_image = "confluentinc/cp-kafka:8.1.0";
const registry_image = "quay.io/apicurio/apicurio-registry-mem:2.6.13.Final"; // the version of deploy/local-kafka/pom.xml
const kafka_port = 9093; // the one that KafkaContainer advertises
const registry_port = 8080;
const registry_path = "/apis/ccompat/v7";

export interface Containers {
  readonly brokers: string;
  readonly registry_url: string;
  stop(): Promise<void>;
}

/** Rejects when there is no engine, or an image can't be had. */
export async function startContainers(): Promise<Containers> {
  await getContainerRuntimeClient();
  const started: StartedTestContainer[] = [];
  const stop = async () => {
    for (const container of started.reverse()) await container.stop();
  };
  try {
    const kafka = await new KafkaContainer(kafka_image).withEnvironment({ KAFKA_AUTO_CREATE_TOPICS_ENABLE: "false" }).start();
    started.push(kafka);
    const registry = await new GenericContainer(registry_image)
      .withExposedPorts(registry_port)
      .withWaitStrategy(Wait.forHttp(`${registry_path}/subjects`, registry_port))
      .start();
    started.push(registry);
    return {
      brokers: `${kafka.getHost()}:${kafka.getMappedPort(kafka_port)}`,
      registry_url: `http://${registry.getHost()}:${registry.getMappedPort(registry_port)}${registry_path}`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
