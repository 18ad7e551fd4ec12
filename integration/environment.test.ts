import { randomUUID } from "node:crypto";
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import { Kafka, logLevel } from "kafkajs";
import { askKafkaVersion } from "./kafka-version";
import { testBrokers, testRegistryUrl } from "./test-servers";

test("a Kafka of version 4 makes topics", async () => {
  const [broker = ""] = testBrokers();
  expect(await askKafkaVersion(broker)).toMatchObject({ is4: true });

  const admin = new Kafka({ brokers: [...testBrokers()], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const topic = `environment-${randomUUID()}`;
    expect((await admin.describeCluster()).brokers.length).toBeGreaterThan(0);
    expect(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true })).toBe(true);
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    expect(topics.flatMap(({ partitions }) => partitions.map(({ partitionId }) => partitionId)).sort()).toEqual([0, 1, 2]);
    await admin.deleteTopics({ topics: [topic] });
  } finally {
    await admin.disconnect();
  }
});

test("the schema registry gives what it took, by its id, and refuses what old readers couldn't read", async () => {
  const registry = new SchemaRegistry({ host: testRegistryUrl() });
  const subject = `environment-${randomUUID()}`;
  const schema = (fields: readonly object[]) => ({
    type: SchemaType.AVRO as const,
    schema: JSON.stringify({ type: "record", name: `R${subject.replaceAll("-", "_")}`, namespace: "assay", fields }),
  });
  const { id } = await registry.register(schema([{ name: "host", type: "string" }]), { subject });

  const bytes = await registry.encode(id, { host: "h1" });
  expect([...bytes.subarray(0, 5)]).toEqual([0, 0, 0, id >> 8, id & 0xff]);
  const another = new SchemaRegistry({ host: testRegistryUrl() });
  expect(await another.decode(bytes)).toMatchObject({ host: "h1" });
  expect(await another.getLatestSchemaId(subject)).toBe(id);

  const withoutDefault = schema([
    { name: "host", type: "string" },
    { name: "port", type: "int" },
  ]);
  await expect(registry.register(withoutDefault, { subject })).rejects.toThrow(/compatib|conflict/i);
});
