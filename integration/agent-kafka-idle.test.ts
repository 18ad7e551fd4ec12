/** Apart from the other tests of it: whatever else uses kafkajs in the same process mends its idle timer too. */
import { randomBytes } from "node:crypto";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { KafkaDelivery } from "@assay/agent/deliver/kafka-delivery";
import { RegisteredIds } from "@assay/agent/deliver/registered-ids";
import { topics } from "@assay/schemas/topics";
import { Kafka, logLevel } from "kafkajs";
import { testBrokers } from "./test-servers";

const host_id = "host-17";
const watched_ms = 1_000;
const timers_max = 200;

test("an agent that has nothing to send sets no timers without end", async () => {
  const topic_prefix = `i${randomBytes(6).toString("hex")}-`;
  const admin = new Kafka({ brokers: [...testBrokers()], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: topic_prefix + topics.inventory.name }], waitForLeaders: true });
  await admin.disconnect();
  const client = { post: async () => ({ status: 200, body: '{"id":1}', retry_after_ms: undefined }), close: () => undefined };
  const ids = new RegisteredIds({ client, username: "", password: "" });
  const own = new OwnConnections(Date.now);
  const connection = { brokers: testBrokers() };
  const delivery = new KafkaDelivery({ connection, topic_prefix, ids, request_wait_ms: 10_000, own, host_id, now: Date.now });
  try {
    const value = {
      host_id,
      host_name: "h",
      incarnation: 1,
      section: "os",
      collected_at: 1,
      sent_at: 1,
      digest: "",
      status: "collected" as const,
      reason: "",
      chunk: 0,
      chunks: 1,
      content: Buffer.from("{}"),
    };
    const slot = { name: "os.0", size: 1, value, on_disk: true };
    const delivered = await delivery.deliver({ kind: "inventory", value, slot }, new AbortController().signal);
    expect(delivered).toMatchObject({ kind: "delivered" });
    expect(await timersSet(watched_ms)).toBeLessThan(timers_max);
  } finally {
    await delivery.close();
  }
});

/** How many are set in this time, by whoever. */
async function timersSet(during_ms: number): Promise<number> {
  const set = jest.spyOn(globalThis, "setTimeout");
  try {
    await new Promise((resolve) => setTimeout(resolve, during_ms));
    return set.mock.calls.length;
  } finally {
    set.mockRestore();
  }
}
