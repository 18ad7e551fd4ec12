/** TLS and SASL, against a broker that asks for them. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type KafkaLogOptions, openKafkaLog } from "@assay/stream/kafka-log";
import { assignments, definition, recordsOf, single, text, textOf } from "../packages/stream/test/log-contract";
import { type PrivateBroker, startPrivateBroker } from "./private-broker";

const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const;
let broker: PrivateBroker;
let tls: Required<NonNullable<KafkaLogOptions["tls"]>>;

beforeAll(async () => {
  broker = await startPrivateBroker({
    sasl: { username: "ann", password: "secret" },
    tls: "required",
    settings: { "connections.max.reauth.ms": "3000" },
  });
  const { tls_files } = broker;
  if (!tls_files) throw new Error("the broker told no files");
  const { ca, certificate, key } = tls_files;
  tls = { ca: readFileSync(ca), certificate: readFileSync(certificate), key: readFileSync(key) };
});
afterAll(() => broker.close());

/** Appends, and reads it back as a group. */
async function appendsAndReads(options: Omit<KafkaLogOptions, "client_id">, group: string): Promise<void> {
  const log = await openKafkaLog({ client_id: "security", retry_wait_ms: 20_000, ...options });
  try {
    await log.ensureTopics([definition(single, { partitioning: "single" })]);
    const [appended] = await log.append([text(single, "k", group)]);
    const source = await log.source({ group, topics: [single], from: "earliest", batch_records_max: 100 });
    await assignments(source, 1);
    const records = await recordsOf(source, (appended?.offset ?? 0) + 1);
    expect(records.map(textOf)).toContain(group);
    await source.close();
  } finally {
    await log.close();
  }
}

const sasl = (mechanism: (typeof mechanisms)[number], password = "secret") => ({ mechanism, username: "ann", password });

it.each(mechanisms)("passes name and password by %s", async (mechanism) => {
  await appendsAndReads({ brokers: broker.sasl_brokers, sasl: sasl(mechanism) }, `sasl-${mechanism}`);
});

it("passes a certificate by mutual TLS, with and without a password", async () => {
  await appendsAndReads({ brokers: broker.tls_brokers, tls }, "tls");
  await appendsAndReads({ brokers: broker.sasl_tls_brokers, tls, sasl: sasl("scram-sha-512") }, "sasl-tls");
});

it("goes on while the broker asks it again and again who it is", async () => {
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const log = await openKafkaLog({ client_id: "security", brokers: broker.sasl_brokers, sasl: sasl("scram-sha-512"), logger });
  try {
    await log.ensureTopics([definition(single, { partitioning: "single" })]);
    const { end } = await log.bounds(single, 0);
    const source = await log.source({ group: "asked-again", topics: [single], from: "latest", batch_records_max: 100 });
    await assignments(source, 1);
    const numbers = Array.from({ length: 60 }, (_, n) => String(n));
    const appending = (async () => {
      for (const n of numbers) {
        await log.append([text(single, "k", n)]);
        await sleep(200); // four sessions long
      }
    })();
    expect((await recordsOf(source, numbers.length)).map(textOf)).toEqual(numbers);
    await appending;
    expect((await log.bounds(single, 0)).end).toBe(end + numbers.length);
    await source.close();
  } finally {
    await log.close();
  }
});

it("is refused at once with a wrong password", async () => {
  const before = performance.now();
  for (const mechanism of mechanisms) {
    const log = openKafkaLog({ client_id: "security", brokers: broker.sasl_brokers, sasl: sasl(mechanism, "wrong") });
    await expect(log).rejects.toThrow(/authentication failed/i);
  }
  expect(performance.now() - before).toBeLessThan(15_000);
});

it("refuses at once a broker whose certificate no known authority has signed", async () => {
  const before = performance.now();
  const { certificate, key } = tls;
  const log = openKafkaLog({ client_id: "security", brokers: broker.tls_brokers, tls: { certificate, key } });
  await expect(log).rejects.toThrow(/certificate/);
  expect(performance.now() - before).toBeLessThan(5_000);
});
