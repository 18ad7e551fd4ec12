/** deploy/clickhouse's landing of raw telemetry: ClickHouse's own Kafka engine, against a real broker and a real registry. */
import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Codec, type SchemaName } from "@assay/schemas/codec";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import type { HostSilent, TelemetryBatch } from "@assay/schemas/generated/types";
import { connectStore, type Store } from "@assay/store/client";
import { statements } from "@assay/store/statements";
import { type Admin, Kafka, logLevel, type Producer } from "kafkajs";
import { type ConfiguredEngine, startConfiguredEngine } from "../packages/store/test/configured-engine";
import { testBrokers, testRegistryUrl } from "./test-servers";

const deploy = join(__dirname, "../deploy/clickhouse");
const password = "landing-secret";
const run = randomUUID();
const topic = `assay.telemetry.${run}`;
const group = `assay-raw-telemetry.${run}`;
const accepted_at = Date.now() - 60_000;
const began_at = accepted_at - 3_600_123;
const landing_wait_ms = 90_000;

let engine: ConfiguredEngine;
let store: Store;
let admin: Admin;
let producer: Producer;
let codec: Codec;
let directory: string;

beforeAll(async () => {
  const brokers = testBrokers();
  const registry = testRegistryUrl();
  const ids = await register(registry, ["TelemetryBatch", "HostSilent"]);
  codec = new Codec({ currentId: (name) => ids.get(name) ?? 0, writer: () => undefined });

  const kafka = new Kafka({ clientId: "raw-telemetry-test", brokers: [...brokers], logLevel: logLevel.ERROR });
  admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }], waitForLeaders: true });
  producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();

  directory = mkdtempSync(join(tmpdir(), "assay-raw-telemetry-"));
  // Names of this run, since others may use the broker too; and a short session, since a consumer that is detached doesn't leave its group.
  const own = join(directory, "z-own.xml");
  writeFileSync(
    own,
    `<clickhouse><named_collections><assay_kafka>
      <kafka_topic_list replace="replace">${topic}</kafka_topic_list><kafka_group_name replace="replace">${group}</kafka_group_name>
      <kafka><session_timeout_ms>6000</session_timeout_ms></kafka>
    </assay_kafka></named_collections></clickhouse>`,
  );
  engine = await startConfiguredEngine({
    users: [join(deploy, "users.d/assay-landing.xml")],
    config: [join(deploy, "config.d/assay-kafka.xml"), own],
    env: {
      ASSAY_KAFKA_BROKERS: brokers.join(","),
      ASSAY_SCHEMA_REGISTRY_URL: registry,
      ASSAY_LANDING_PASSWORD_SHA256: createHash("sha256").update(password).digest("hex"),
    },
  });
  store = connectStore({ url: engine.url, username: "assay_landing", password });
  await land();
}, 120_000);

afterAll(async () => {
  await store?.close();
  await engine?.stop();
  await producer?.disconnect();
  await admin?.deleteTopics({ topics: [topic] });
  await admin?.disconnect();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

it("lands each batch and each silence as one row, with every value", async () => {
  const whole = batch(1);
  const empty: TelemetryBatch = {
    ...batch(2),
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
  const silent: HostSilent = {
    host_id: "h1",
    incarnation: began_at,
    seq: 2,
    silent_since: began_at + 5,
    at: began_at + 9,
    timeout_ms: 60_000,
  };
  await send([codec.encode("TelemetryBatch", whole), codec.encode("TelemetryBatch", empty), codec.encode("HostSilent", silent)]);
  await landed(3);

  const rows = await store.query<Record<string, unknown>>("SELECT * FROM assay_raw.telemetry ORDER BY topic_offset");
  const place = (offset: number) => ({ accepted_at, topic_partition: 0, topic_offset: offset });
  const no_silence = { silent_since: 0, at: 0, timeout_ms: 0 };
  expect(rows).toEqual([
    { ...place(0), record: "TelemetryBatch", ...asLanded(whole), ...no_silence },
    { ...place(1), record: "TelemetryBatch", ...asLanded(empty), ...no_silence },
    { ...place(2), record: "HostSilent", ...blank(), ...silent },
  ]);
});

it("answers questions about single events", async () => {
  expect(
    await store.query(
      `SELECT host_id, process.image AS image, process.at AS at
       FROM assay_raw.telemetry FINAL ARRAY JOIN processes AS process WHERE process.command_line LIKE '%ü%' ORDER BY at`,
    ),
  ).toEqual([0, 1].map((i) => ({ host_id: "h1", image: "/usr/bin/a", at: began_at + i })));
});

it("keeps what it can't read, with the reason, and goes on behind it", async () => {
  const good = codec.encode("TelemetryBatch", batch(3));
  const unknown = Buffer.from(good);
  unknown.writeUInt32BE(2_000_000_000, 1);
  const unreadable = [unknown, Buffer.from("hello"), good.subarray(0, 80), Buffer.concat([good, Buffer.from("more")])];
  await send([...unreadable, good]);
  await landed(4);

  const errors = await store.query<{ topic_offset: number; reason: string; bytes: string }>(
    "SELECT topic_offset, reason, hex(bytes) AS bytes FROM assay_raw.telemetry_errors ORDER BY topic_offset",
  );
  expect(errors.map(({ topic_offset, bytes }) => [topic_offset, bytes])).toEqual(
    unreadable.map((bytes, i) => [3 + i, bytes.toString("hex").toUpperCase()]),
  );
  expect(errors.map(({ reason }) => reason.trim())).toEqual([
    expect.stringContaining("schema id = 2000000000"),
    expect.stringContaining("Must be zero byte"),
    expect.stringContaining("EOF"),
    expect.stringContaining("AvroConfluent magic byte"),
  ]);
});

it("can read the topic again, which counts each record once", async () => {
  const before = await store.query("SELECT * FROM assay_raw.telemetry FINAL ORDER BY topic_offset");
  await store.command("DETACH TABLE assay_raw.telemetry_topic SYNC");
  await groupIsEmpty();
  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "0" }] });
  await store.command("ATTACH TABLE assay_raw.telemetry_topic");
  await send([codec.encode("TelemetryBatch", batch(4))]);
  await landed(5);
  expect(await store.query("SELECT * FROM assay_raw.telemetry FINAL WHERE seq != 4 ORDER BY topic_offset")).toEqual(before);
  expect(await store.query("SELECT count() AS n FROM assay_raw.telemetry_errors FINAL")).toEqual([{ n: 4 }]);
});

it("lets its user use no other source, and nothing of Assay's", async () => {
  for (const sql of [
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    "SELECT name FROM system.users",
  ])
    await expect(store.query(sql)).rejects.toThrow(/Not enough privileges/);
  await expect(store.command("CREATE DATABASE assay")).rejects.toThrow(/Not enough privileges/);
});

async function land(): Promise<void> {
  for (const statement of statements(readFileSync(join(deploy, "raw-telemetry.sql"), "utf8"))) await store.command(statement);
}

async function send(values: readonly Buffer[]): Promise<void> {
  await producer.send({
    topic,
    messages: values.map((value) => ({ key: "h1", value, partition: 0, timestamp: String(accepted_at) })),
  });
}

async function landed(rows: number): Promise<void> {
  const until = Date.now() + landing_wait_ms;
  for (;;) {
    const [found] = await store.query<{ n: number }>("SELECT count() AS n FROM assay_raw.telemetry FINAL");
    if (found?.n === rows) return;
    if (Date.now() > until) throw new Error(`${found?.n} rows landed within ${landing_wait_ms} ms instead of ${rows}`);
    await sleep(200);
  }
}

async function groupIsEmpty(): Promise<void> {
  const until = Date.now() + landing_wait_ms;
  for (;;) {
    const { groups } = await admin.describeGroups([group]);
    if (groups[0]?.members.length === 0) return;
    if (Date.now() > until) throw new Error(`the group ${group} still has members after ${landing_wait_ms} ms`);
    await sleep(200);
  }
}

function batch(seq: number): TelemetryBatch {
  const process = (i: number) => ({
    at: began_at + i,
    pid: 4_194_304 + i,
    parent_pid: 1,
    started_at: began_at - 1,
    already_running: i === 0,
    image: "/usr/bin/a",
    image_deleted: i === 1,
    command_line: "a --name 'ü'",
    current_directory: "/srv",
    user: "root",
    parent_image: "/sbin/init",
    parent_command_line: "init",
    parent_user: "root",
    parent_listens: [22, 65_535],
    ancestors: ["init", "x"],
  });
  const listener = {
    at: began_at + 3,
    protocol: "tcp" as const,
    address: "::",
    port: 443,
    pid: 9,
    image: "/usr/sbin/nginx",
    command_line: "nginx",
    user: "www",
    application_protocol: "http",
    channel: "tls" as const,
  };
  const tls = {
    version: "TLSv1.3",
    cipher: "TLS_AES_128_GCM_SHA256",
    certificate_subject: "CN=a",
    certificate_issuer: "CN=b",
    certificate_not_after: began_at + 77,
    self_signed: true,
  };
  return {
    host_id: "h1",
    host_name: "web-1",
    agent_version: "0.1.0",
    incarnation: began_at,
    seq,
    sent_at: began_at + 10,
    observed_from: began_at + 11,
    complete_through: began_at + 12,
    tags: { env: "test", "a b": "" },
    processes: [process(0), process(1)],
    connections: [
      {
        at: began_at + 2,
        opened_at: began_at - 2,
        protocol: "udp",
        side: "destination",
        source_address: "10.0.0.1",
        source_port: 40_000,
        destination_address: "fe80::1",
        destination_port: 65_535,
        pid: 0,
        image: "",
        command_line: "",
        user: "",
        ancestors: [],
      },
    ],
    listeners: [
      { ...listener, tls: null },
      { ...listener, tls },
    ],
    collectors: [{ collector: "processes", status: "partial", reason: "no /proc", missing_fields: ["User"] }],
    drops: [{ kind: "batches", reason: "full", count: 3 }],
  };
}

/** The same in the way the store gives it: times within arrays are seconds as text, an absent tls is one of empty values. */
function asLanded(value: TelemetryBatch): Record<string, unknown> {
  const no_tls = {
    version: "",
    cipher: "",
    certificate_subject: "",
    certificate_issuer: "",
    certificate_not_after: 0,
    self_signed: false,
  };
  return {
    ...value,
    processes: value.processes.map((event) => ({ ...event, at: seconds(event.at), started_at: seconds(event.started_at) })),
    connections: value.connections.map((event) => ({ ...event, at: seconds(event.at), opened_at: seconds(event.opened_at) })),
    listeners: value.listeners.map((event) => {
      const tls = event.tls ?? no_tls;
      return { ...event, at: seconds(event.at), tls: { ...tls, certificate_not_after: seconds(tls.certificate_not_after) } };
    }),
  };
}

function blank(): Record<string, unknown> {
  const nothing = { processes: [], connections: [], listeners: [], collectors: [], drops: [], tags: {} };
  return { host_name: "", agent_version: "", sent_at: 0, observed_from: 0, complete_through: 0, ...nothing };
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

async function register(url: string, names: readonly SchemaName[]): Promise<ReadonlyMap<SchemaName, number>> {
  const ids = new Map<SchemaName, number>();
  for (const name of names) {
    const schema = schemaVersions.findLast((version) => version.name === name)?.schema;
    const response = await fetch(`${url}/subjects/raw-telemetry-test-${name}/versions`, {
      method: "POST",
      headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
      body: JSON.stringify({ schema: JSON.stringify(schema) }),
    });
    const answer = (await response.json()) as { readonly id?: number };
    if (answer.id === undefined)
      throw new Error(`the registry at ${url} didn't take ${name}: ${response.status} ${JSON.stringify(answer)}`);
    ids.set(name, answer.id);
  }
  return ids;
}
