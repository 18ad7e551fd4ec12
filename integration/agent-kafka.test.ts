/** An agent that publishes straight to Kafka: what then stands in the log is what ingest would have put there. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { DropCounts } from "@assay/agent/deliver/drop-counts";
import { HttpClient } from "@assay/agent/deliver/http-client";
import { KafkaDelivery } from "@assay/agent/deliver/kafka-delivery";
import { answer_bytes, RegisteredIds } from "@assay/agent/deliver/registered-ids";
import { Sender } from "@assay/agent/deliver/sender";
import { Spool } from "@assay/agent/deliver/spool";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { InventorySection, TelemetryBatch } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import { openKafkaLog } from "@assay/stream/kafka-log";
import type { Log, LogRecord } from "@assay/stream/log";
import { openSchemaRegistry } from "@assay/stream/schema-registry";
import { testBrokers, testRegistryUrl } from "./test-servers";

const host_id = "host-17";
const ending: (() => Promise<unknown> | undefined)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function given() {
  const topic_prefix = `a${randomBytes(6).toString("hex")}-`;
  const registry = await openSchemaRegistry({ url: testRegistryUrl() });
  const log = await openKafkaLog({ brokers: testBrokers(), client_id: "agent-test", partitions: 8, topic_prefix });
  await log.ensureTopics([topics.telemetry, topics.inventory]);
  ending.push(
    () => registry.close(),
    () => log.close(),
  );

  const folder = mkdtempSync(join(tmpdir(), "assay-agent-kafka-"));
  const codec = new Codec(folderIds());
  const own = new OwnConnections(Date.now);
  const drops = new DropCounts();
  const logged: string[] = [];
  const note = (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { info: note, warn: note, error: note };
  const spool = new Spool({ folder, bytes_max: 1e9, codec, drops, logger });
  const request_wait_ms = 10_000;
  const client = new HttpClient({
    url: testRegistryUrl(),
    request_wait_ms,
    ca: undefined,
    own,
    compress: false,
    answer_bytes_max: answer_bytes,
  });
  const ids = new RegisteredIds({ client, username: "", password: "" });
  const connection = { brokers: testBrokers() };
  const sender = new Sender({
    delivery: new KafkaDelivery({ connection, topic_prefix, ids, request_wait_ms, own, host_id, now: () => 1_700_000_000_000 }),
    spool,
    drops,
    logger,
    retry: { first_ms: 50, max_ms: 1_000 },
    now: Date.now,
    random: Math.random,
  });
  ending.push(async () => {
    await sender.stop(0);
    rmSync(folder, { recursive: true });
  });
  return { log, spool, sender, drops, logged, codec: new Codec(registry) };
}

test("telemetry and inventory stand where ingest puts them, byte for byte", async () => {
  const { log, spool, sender, codec } = await given();
  const batches = [batch(1), batch(2, 500), batch(3)];
  for (const one of batches) spool.addTelemetry(one);
  spool.addInventory([section(0), section(1)]);
  sender.start();
  await until(() => spool.isEmpty);

  const sent_at = 1_700_000_000_000;
  const telemetry = await all(log, topics.telemetry.name);
  expect(telemetry.map((record) => [record.key?.toString(), record.timestamp])).toEqual(batches.map(() => [host_id, sent_at]));
  expect(telemetry.map((record) => record.value)).toEqual(
    batches.map((one) => codec.encode("TelemetryBatch", { ...one, sent_at })),
  );
  expect(new Set(telemetry.map((record) => record.partition))).toEqual(
    new Set([log.partitionOf(topics.telemetry.name, host_id)]),
  );

  const inventory = await all(log, topics.inventory.name);
  expect(inventory.map((record) => record.key?.toString())).toEqual([`${host_id}/os/0`, `${host_id}/os/1`]);
  expect(inventory.map((record) => record.value)).toEqual(
    [0, 1].map((chunk) => codec.encode("InventorySection", { ...section(chunk), sent_at })),
  );
  expect(new Set(inventory.map((record) => record.partition))).toEqual(
    new Set([log.partitionOf(topics.inventory.name, host_id)]),
  );
});

test("a batch that the broker never takes is dropped and counted, and holds up nothing", async () => {
  const { log, spool, sender, drops, logged } = await given();
  const noise = randomBytes(12_000_000).toString("hex"); // gzip makes half of it: more than a topic of ours takes
  spool.addTelemetry({ ...batch(1), tags: { noise } });
  spool.addTelemetry(batch(2));
  sender.start();
  await until(() => spool.isEmpty);
  expect(logged.filter((line) => line.startsWith("Kafka can't take this; dropped"))).toHaveLength(1);
  expect(drops.take()).toEqual([{ kind: "batches", reason: "rejected", count: 1 }]);
  expect(await all(log, topics.telemetry.name)).toHaveLength(1);
});

async function all(log: Log, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (let partition = 0; partition < log.partitions(topic); partition++) {
    const { earliest, end } = await log.bounds(topic, partition);
    for (let offset = earliest; offset < end; ) {
      const read = await log.read(topic, partition, offset, 100);
      records.push(...read);
      offset = (read.at(-1)?.offset ?? end) + 1;
    }
  }
  return records;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`did not come about within 30 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function batch(seq: number, processes = 0): TelemetryBatch {
  const process = {
    at: 1,
    pid: 1,
    parent_pid: 0,
    started_at: 1,
    already_running: false,
    image: "/bin/x",
    image_deleted: false,
    command_line: "x --y",
    current_directory: "/",
    user: "root",
    parent_image: "",
    parent_command_line: "",
    parent_user: "",
    parent_listens: [],
    ancestors: [],
  };
  return {
    host_id,
    host_name: "h",
    agent_version: "0",
    incarnation: 1_000,
    seq,
    sent_at: 1,
    observed_from: 1,
    complete_through: 2,
    tags: {},
    processes: Array.from({ length: processes }, () => process),
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
}

function section(chunk: number): InventorySection {
  return {
    host_id,
    host_name: "h",
    incarnation: 1_000,
    section: "os",
    collected_at: 1,
    sent_at: 1,
    digest: "0".repeat(64),
    status: "collected",
    reason: "",
    chunk,
    chunks: 2,
    content: Buffer.from(`{"part":${chunk}}`),
  };
}
