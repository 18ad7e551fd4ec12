/** What an agent says and does where its Kafka or its registry is not as it should be; with a real Kafka: integration/agent-kafka.test.ts. */

import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { agentSettings } from "@assay/agent/config";
import { HttpClient } from "@assay/agent/deliver/http-client";
import { KafkaDelivery } from "@assay/agent/deliver/kafka-delivery";
import { answer_bytes, RegisteredIds } from "@assay/agent/deliver/registered-ids";
import type { Waiting } from "@assay/agent/deliver/spool";
import { publishRelations } from "@assay/agent/publish-settings";
import { readSettings } from "@assay/runtime/settings";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import { type RegistryServer, startRegistryServer } from "./registry-server";

let registry: RegistryServer;
let silentBroker: Server;
const deliveries: KafkaDelivery[] = [];

beforeEach(async () => {
  registry = await startRegistryServer();
  silentBroker = createServer((socket) => socket.resume().on("error", () => undefined));
  await new Promise<void>((resolve) => silentBroker.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  for (const delivery of deliveries.splice(0)) await delivery.close();
  await registry.close();
  await new Promise((resolve) => silentBroker.close(resolve));
});

function given({ brokers = ["127.0.0.1:1"], username = "", request_wait_ms = 2_000, url = registry.url } = {}): KafkaDelivery {
  const own = new OwnConnections(Date.now);
  const client = new HttpClient({ url, request_wait_ms, ca: undefined, own, compress: false, answer_bytes_max: answer_bytes });
  const ids = new RegisteredIds({ client, username, password: "p" });
  const delivery = new KafkaDelivery({ connection: { brokers }, ids, request_wait_ms, own, host_id: "host-1", now: Date.now });
  deliveries.push(delivery);
  return delivery;
}

function waiting(host_id = "host-1"): Waiting {
  const value = {
    host_id,
    host_name: "h",
    agent_version: "0",
    incarnation: 1,
    seq: 1,
    sent_at: 1,
    observed_from: 1,
    complete_through: 1,
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
  return { kind: "telemetry", value, slot: { name: "1-1", size: 1, value, on_disk: true } };
}

const registered = () => ({ status: 200, body: { subject: "s", version: 1, id: 41, schema: "x".repeat(100_000) } });
const go = () => new AbortController().signal;

it("asks the registry for the ids of the schemas that it writes with, once, and uncompressed", async () => {
  registry.answer = registered;
  const delivery = given({ username: "u" });
  await delivery.deliver(waiting(), go());
  await delivery.deliver(waiting(), go());
  expect(registry.requests.map(({ path }) => path)).toEqual([
    "/subjects/assay.telemetry-assay.TelemetryBatch",
    "/subjects/assay.inventory-assay.InventorySection",
  ]);
  const [request] = registry.requests;
  expect(JSON.parse(request?.schema ?? "")).toEqual(schemaVersions.findLast((v) => v.name === "TelemetryBatch")?.schema);
  expect(request?.headers["content-encoding"]).toBeUndefined();
  expect(request?.headers.authorization).toBe(`Basic ${Buffer.from("u:p").toString("base64")}`);
});

it("waits for the services to register its schemas, and says so", async () => {
  const outcome = await given().deliver(waiting(), go());
  expect(outcome).toMatchObject({
    kind: "away",
    status: 404,
    message: expect.stringMatching(/services of this version, or a newer one, register them/),
    reason: expect.stringMatching(/^assay.telemetry-assay.TelemetryBatch: .*not found/i),
  });
});

it.each([401, 500])("keeps what it has where the registry answers %d", async (status) => {
  registry.answer = () => ({ status, body: { message: "no" } });
  expect(await given().deliver(waiting(), go())).toMatchObject({ kind: "away", status });
});

it("keeps what it has while registry or brokers are not there, and tells one from the other", async () => {
  const noRegistry = await given({ url: "http://127.0.0.1:1" }).deliver(waiting(), go());
  expect(noRegistry).toMatchObject({ kind: "away", message: "the schema registry is not reachable" });
  registry.answer = registered;
  const noBroker = await given().deliver(waiting(), go());
  expect(noBroker).toMatchObject({
    kind: "away",
    message: "Kafka does not take batches",
    reason: expect.stringMatching(/ECONNREFUSED|127\.0\.0\.1:1/),
  });
});

it("gives up a broker that says nothing, and stops at once when it is told to", async () => {
  registry.answer = registered;
  const brokers = [`127.0.0.1:${(silentBroker.address() as AddressInfo).port}`];
  expect(await given({ brokers, request_wait_ms: 300 }).deliver(waiting(), go())).toMatchObject({ kind: "away" });

  const stopping = new AbortController();
  const began = performance.now();
  setTimeout(() => stopping.abort(), 100);
  expect(await given({ brokers, request_wait_ms: 60_000 }).deliver(waiting(), stopping.signal)).toMatchObject({ kind: "away" });
  expect(performance.now() - began).toBeLessThan(2_000);
});

it("drops what was spooled under another host's id", async () => {
  registry.answer = registered;
  expect(await given().deliver(waiting("host-0"), go())).toMatchObject({ kind: "unusable", counted_as: "wrong_host" });
});

it("guards kafkajs' idle timer under the mark that the services' log on Kafka uses, so that it is wrapped once", async () => {
  const { prototype } = require("kafkajs/src/network/requestQueue") as {
    prototype: { guarded?: true; scheduleCheckPendingRequests: () => void };
  };
  registry.answer = registered;
  await given().deliver(waiting(), go());
  expect(prototype.guarded).toBe(true);
  const wrapped = prototype.scheduleCheckPendingRequests;
  await given().deliver(waiting(), go());
  expect(prototype.scheduleCheckPendingRequests).toBe(wrapped);
});

describe("its settings", () => {
  const problemsOf = (env: Readonly<Record<string, string>>) => {
    const read = readSettings(agentSettings, env, publishRelations);
    return read.ok ? [] : read.problems;
  };
  const kafka = {
    ASSAY_AGENT_PUBLISH: "kafka",
    ASSAY_AGENT_KAFKA_BROKERS: "a:9092,[::1]:9093",
    ASSAY_AGENT_SCHEMA_REGISTRY_URL: "http://r:8080/apis/ccompat/v7",
  };

  it.each<readonly [string, Readonly<Record<string, string>>, readonly RegExp[]]>([
    ["nothing said: through ingest", {}, []],
    ["all that is needed", kafka, []],
    ["kafka alone", { ASSAY_AGENT_PUBLISH: "kafka" }, [/needs ASSAY_AGENT_KAFKA_BROKERS and ASSAY_AGENT_SCHEMA_REGISTRY_URL/]],
    [
      "a broker without a port",
      { ...kafka, ASSAY_AGENT_KAFKA_BROKERS: "a" },
      [/ASSAY_AGENT_KAFKA_BROKERS is "a", not host:port/],
    ],
    ["SASL without a user", { ...kafka, ASSAY_AGENT_KAFKA_SASL: "plain" }, [/by plain \(ASSAY_AGENT_KAFKA_SASL\) a user/]],
    ["a certificate without TLS", { ...kafka, ASSAY_AGENT_KAFKA_CA_FILE: "/ca" }, [/TLS is off \(ASSAY_AGENT_KAFKA_TLS\)/]],
    [
      "a certificate without its key",
      { ...kafka, ASSAY_AGENT_KAFKA_TLS: "true", ASSAY_AGENT_KAFKA_CERT_FILE: "/c" },
      [/needs both ASSAY_AGENT_KAFKA_CERT_FILE and ASSAY_AGENT_KAFKA_KEY_FILE/],
    ],
  ])("%s", (_, env, expected) => {
    const problems = problemsOf(env);
    expect(problems).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(problems[index]).toMatch(pattern);
  });
});
