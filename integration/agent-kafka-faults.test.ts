/** A trusted publisher by its settings: TLS, SASL, and a broker that goes away while it sends. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { agentSettings } from "@assay/agent/config";
import { DropCounts } from "@assay/agent/deliver/drop-counts";
import { openDelivery } from "@assay/agent/deliver/open-delivery";
import { Sender } from "@assay/agent/deliver/sender";
import { Spool } from "@assay/agent/deliver/spool";
import { StateFolder } from "@assay/agent/deliver/state-folder";
import { publishRelations } from "@assay/agent/publish-settings";
import { readSettings } from "@assay/runtime/settings";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { TelemetryBatch } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import { openKafkaLog } from "@assay/stream/kafka-log";
import type { Log } from "@assay/stream/log";
import { openSchemaRegistry, type RegistryIds } from "@assay/stream/schema-registry";
import { type PrivateBroker, startPrivateBroker } from "./private-broker";
import { testRegistryUrl } from "./test-servers";

const host_id = "host-17";
const sasl = { username: "ann", password: "secret" };
let broker: PrivateBroker;
let registry: RegistryIds;
let log: Log;

beforeAll(async () => {
  broker = await startPrivateBroker({ sasl, tls: "required" });
  registry = await openSchemaRegistry({ url: testRegistryUrl() });
  log = await openKafkaLog({ brokers: broker.brokers, client_id: "agent-test", partitions: 2 });
  await log.ensureTopics([topics.telemetry, topics.inventory]);
});
afterAll(async () => {
  await log.close();
  await registry.close();
  await broker.close();
});

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

function agent(env: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), "assay-agent-kafka-"));
  const set = { ASSAY_AGENT_PUBLISH: "kafka", ASSAY_AGENT_SCHEMA_REGISTRY_URL: testRegistryUrl(), ...env };
  const read = readSettings(agentSettings, { ASSAY_AGENT_REQUEST_WAIT_MS: "2000", ...set }, publishRelations);
  if (!read.ok) throw new Error(read.problems.join("\n"));
  const codec = new Codec(folderIds());
  const drops = new DropCounts();
  const logged: string[] = [];
  const note = (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { info: note, warn: note, error: note };
  const state = StateFolder.open(folder);
  const own = new OwnConnections(Date.now);
  const spool = new Spool({ folder: join(folder, "spool"), bytes_max: 1e9, codec, drops, logger });
  const parts = { state, codec, logger, own, host_id, host_name: "h", agent_version: "0", now: Date.now };
  const sender = new Sender({
    delivery: openDelivery(read.settings, parts),
    spool,
    drops,
    logger,
    retry: { first_ms: 50, max_ms: 500 },
    now: Date.now,
    random: Math.random,
  });
  ending.push(async () => {
    await sender.stop(0);
    state.close();
    rmSync(folder, { recursive: true });
  });
  sender.start();
  return {
    logged,
    spool,
    drops,
    send(batch: TelemetryBatch) {
      spool.addTelemetry(batch);
      sender.poke();
    },
  };
}

test("TLS with a certificate of its own and SASL, as the settings say", async () => {
  const { tls_files } = broker;
  if (!tls_files) throw new Error("the broker told no files");
  const { spool, send } = agent({
    ASSAY_AGENT_KAFKA_BROKERS: broker.sasl_tls_brokers.join(","),
    ASSAY_AGENT_KAFKA_TLS: "true",
    ASSAY_AGENT_KAFKA_CA_FILE: tls_files.ca,
    ASSAY_AGENT_KAFKA_CERT_FILE: tls_files.certificate,
    ASSAY_AGENT_KAFKA_KEY_FILE: tls_files.key,
    ASSAY_AGENT_KAFKA_SASL: "scram-sha-512",
    ASSAY_AGENT_KAFKA_USER: sasl.username,
    ASSAY_AGENT_KAFKA_PASSWORD: sasl.password,
  });
  const incarnation = incarnationOf();
  send(batchOf(incarnation, 1));
  await until(() => spool.isEmpty);
  expect(await delivered(incarnation)).toEqual([1]);
});

test("a wrong password keeps the batches, and is told without it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "assay-agent-password-"));
  const file = join(folder, "password");
  writeFileSync(file, "wr0ng", { mode: 0o600 });
  const { spool, send, logged } = agent({
    ASSAY_AGENT_KAFKA_BROKERS: broker.sasl_brokers.join(","),
    ASSAY_AGENT_KAFKA_SASL: "plain",
    ASSAY_AGENT_KAFKA_USER: sasl.username,
    ASSAY_AGENT_KAFKA_PASSWORD_FILE: file,
  });
  send(batchOf(incarnationOf(), 1));
  await until(() => logged.some((line) => /^Kafka does not take batches .*authentication/i.test(line)));
  expect(spool.isEmpty).toBe(false);
  expect(logged.join("\n")).not.toContain(readFileSync(file, "utf8"));
  rmSync(folder, { recursive: true });
});

test("what was collected while the broker was stopped, killed or mute comes in order afterwards; none is missing", async () => {
  const { spool, send, drops } = agent({ ASSAY_AGENT_KAFKA_BROKERS: broker.brokers.join(",") });
  const incarnation = incarnationOf();
  let seq = 0;
  const sendSome = async () => {
    for (let i = 0; i < 20; i++) {
      send(batchOf(incarnation, ++seq));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await sendSome();
  for (const end of ["stop", "kill"] as const) {
    const ended = broker[end]();
    await sendSome();
    await ended;
    await broker.start();
    await sendSome();
  }
  broker.freeze();
  await sendSome();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  broker.thaw();
  await sendSome();
  await until(() => spool.isEmpty);
  const seqs = await delivered(incarnation);
  // A batch whose answer was lost comes again; a reader drops what is at or below its mark.
  const taken: number[] = [];
  for (const one of seqs) if (one > (taken.at(-1) ?? 0)) taken.push(one);
  expect(taken).toEqual(Array.from({ length: seq }, (_, index) => index + 1));
  expect(drops.take()).toEqual([]);
}, 300_000);

async function delivered(incarnation: number): Promise<number[]> {
  const codec = new Codec(registry);
  const partition = log.partitionOf(topics.telemetry.name, host_id);
  const seqs: number[] = [];
  const { earliest, end } = await log.bounds(topics.telemetry.name, partition);
  for (let offset = earliest; offset < end; ) {
    const records = await log.read(topics.telemetry.name, partition, offset, 500);
    for (const { value } of records) {
      const decoded = codec.decode(value ?? Buffer.alloc(0));
      if (decoded.name !== "TelemetryBatch") throw new Error(JSON.stringify(decoded));
      if (decoded.value.incarnation === incarnation) seqs.push(decoded.value.seq);
    }
    offset = (records.at(-1)?.offset ?? end) + 1;
  }
  return seqs;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`did not come about within 60 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function incarnationOf(): number {
  return randomBytes(4).readUInt32BE() + 1;
}

function batchOf(incarnation: number, seq: number): TelemetryBatch {
  return {
    host_id,
    host_name: "h",
    agent_version: "0",
    incarnation,
    seq,
    sent_at: 1,
    observed_from: 1,
    complete_through: 2,
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
}
