import { readFileSync } from "node:fs";
import { type Admin, Kafka, type KafkaConfig, logLevel, type SASLOptions } from "kafkajs";
import { isAlive } from "./is-alive";
import { type PrivateBroker, type PrivateRegistry, startPrivateBroker, startPrivateRegistry } from "./private-broker";

const topic = "kept";
const answer_ms = 1_000;

describe("a broker of one's own", () => {
  let broker: PrivateBroker;

  beforeAll(async () => {
    broker = await startPrivateBroker({ sasl: { username: "ann", password: "secret" }, tls: "required" });
    await asked(broker.brokers, {}, (admin) => admin.createTopics({ topics: [{ topic }] }));
  });
  afterAll(() => broker.close());

  test("comes back at its place with its topics after a stop and after a kill", async () => {
    for (const end of ["stop", "kill"] as const) {
      const { pid } = broker;
      await broker[end]();
      expect(isAlive(pid)).toBe(false);
      await expect(topics()).rejects.toThrow(/ECONNREFUSED/);
      await broker.start();
      expect(await topics()).toContain(topic);
    }
  });

  test("answers nothing while it is frozen, and again when thawed", async () => {
    broker.freeze();
    try {
      await expect(topics()).rejects.toThrow(/timeout|timed out/i);
    } finally {
      broker.thaw();
    }
    expect(await topics()).toContain(topic);
  });

  test("lets in who has the password, by every mechanism, and nobody else", async () => {
    for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"]) {
      const as = (password: string) => ({ sasl: { mechanism, username: "ann", password } as SASLOptions });
      expect(await asked(broker.sasl_brokers, as("secret"), (admin) => admin.listTopics())).toContain(topic);
      await expect(asked(broker.sasl_brokers, as("wrong"), (admin) => admin.listTopics())).rejects.toThrow(
        /authentication failed/i,
      );
    }
  });

  test("lets in by TLS who has a certificate, with and without a password, and nobody else", async () => {
    const { tls_files } = broker;
    if (!tls_files) throw new Error("the broker told no files");
    const ca = [readFileSync(tls_files.ca)];
    const ssl = { ca, cert: readFileSync(tls_files.certificate), key: readFileSync(tls_files.key) };
    const sasl = { mechanism: "scram-sha-512", username: "ann", password: "secret" } as const;
    expect(await asked(broker.tls_brokers, { ssl }, (admin) => admin.listTopics())).toContain(topic);
    expect(await asked(broker.sasl_tls_brokers, { ssl, sasl }, (admin) => admin.listTopics())).toContain(topic);
    await expect(asked(broker.tls_brokers, { ssl: { ca } }, (admin) => admin.listTopics())).rejects.toThrow();
    await expect(asked(broker.tls_brokers, { ssl: true }, (admin) => admin.listTopics())).rejects.toThrow(/certificate/);
  });

  function topics(): Promise<string[]> {
    return asked(broker.brokers, {}, (admin) => admin.listTopics());
  }
});

describe("a registry of one's own", () => {
  let registry: PrivateRegistry;

  beforeAll(async () => {
    registry = await startPrivateRegistry();
  });
  afterAll(() => registry.close());

  test("comes back at its place with its schemas after a kill", async () => {
    const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };
    const body = JSON.stringify({ schema: JSON.stringify({ type: "record", name: "R", fields: [] }) });
    await fetch(`${registry.url}/subjects/kept/versions`, { method: "POST", headers, body });
    await registry.kill();
    await expect(fetch(`${registry.url}/subjects`)).rejects.toThrow();
    await registry.start();
    expect(await (await fetch(`${registry.url}/subjects`)).json()).toEqual(["kept"]);
  });
});

async function asked<T>(brokers: readonly string[], config: Partial<KafkaConfig>, ask: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: answer_ms,
    requestTimeout: answer_ms,
    retry: { retries: 0 },
    ...config,
  }).admin();
  try {
    await admin.connect();
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}
