/** The client's connections to a broker that ends, cuts and delays them as it is told to. */
import { setTimeout as sleep } from "node:timers/promises";
import { KafkaClient } from "@assay/stream/kafka/client";
import { isTransient } from "@assay/stream/kafka/errors";
import { metadata_age_ms } from "@assay/stream/kafka/kafkajs";
import { WireWriter } from "@assay/stream/kafka/wire";
import { api, FakeBroker } from "./fake-broker";

const sasl = { mechanism: "plain", username: "ann", password: "secret" } as const;
const limits = { wait_ms: 0, bytes_max: 1, partition_bytes_max: 1 };
let broker: FakeBroker;
let client: KafkaClient;

beforeEach(async () => {
  broker = await FakeBroker.open();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await client.close();
  await broker.close();
});

function open(login?: typeof sasl): void {
  client = new KafkaClient({ brokers: [`127.0.0.1:${broker.port}`], client_id: "test", ...(login && { sasl: login }) });
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

it("starts a new connection with nothing of the half answer on which the last one ended", async () => {
  open();
  await client.refresh();
  let cut = false;
  broker.instead = (request) => {
    if (cut || request.api !== api.fetch) return false;
    cut = true;
    const beginning = new WireWriter().int32(8_000_000).int32(request.correlation).raw(Buffer.alloc(100_000)).finish();
    request.socket.end(beginning);
    return true;
  };
  expect(isTransient(await failureOf(client.fetch(1, [], limits)))).toBe(true);
  expect(await client.fetch(1, [], limits)).toEqual([]);
  expect(await client.fetch(1, [], limits)).toEqual([]);
});

it.each([0, 5, 20])("leaves a login that ends behind, whatever the old connection says %i ms later", async (late_ms) => {
  broker.login_ms = 1_100; // the client renews it a second before
  broker.onEnd = (socket) =>
    setTimeout(() => {
      if (socket.writable) socket.end(Buffer.from("late bytes"));
    }, late_ms);
  open(sasl);
  await client.refresh();
  for (let login = 0; login < 3; login++) {
    await sleep(120);
    for (let n = 0; n < 5; n++) {
      expect(await client.fetch(1, [], limits)).toEqual([]);
      await client.refresh();
      await sleep(2);
    }
  }
  expect(broker.count(api.sasl_authenticate)).toBeGreaterThanOrEqual(6); // two connections, three times each
});

it("tries a login again that its connection broke off, and not one that the broker refused", async () => {
  open(sasl);
  broker.instead = (request) => {
    if (request.api !== api.sasl_authenticate) return false;
    request.socket.destroy();
    return true;
  };
  expect(isTransient(await failureOf(client.refresh()))).toBe(true);
  broker.instead = (request) => {
    if (request.api !== api.sasl_authenticate) return false;
    const sasl_authentication_failed = 58;
    broker.answer(request, new WireWriter().int16(sasl_authentication_failed).string("no").int32(0).int32(0).int32(0).finish());
    return true;
  };
  const refused = await failureOf(client.refresh());
  expect(refused).toMatchObject({ message: expect.stringMatching(/authentication failed/) });
  expect(isTransient(refused)).toBe(false);
  broker.instead = () => false;
  await client.refresh();
});

it("learns leaders anew when what it knows of them is old", async () => {
  open();
  await client.refresh();
  const before = broker.count(api.metadata);
  await client.fetch(1, [], limits);
  expect(broker.count(api.metadata)).toBe(before);
  const now = performance.now.bind(performance);
  jest.spyOn(performance, "now").mockImplementation(() => now() + metadata_age_ms + 1);
  await client.fetch(1, [], limits);
  await client.fetch(1, [], limits);
  await sleep(50);
  expect(broker.count(api.metadata)).toBe(before + 1);
});
