/** The distributed mode as far as it needs no servers: settings, arguments, and what is said of topics. */

import { abortable } from "@assay/cli/distributed/abortable";
import { awaitSetup } from "@assay/cli/distributed/await-setup";
import { withDefaults } from "@assay/cli/distributed/defaults";
import { kafkaOptions } from "@assay/cli/distributed/open-log";
import { readDistributedSettings } from "@assay/cli/distributed/read-settings";
import { kafkaRelations, kafkaSettings, onKafka } from "@assay/cli/distributed/settings";
import { clickhouseRelations, serverLogin, storeOptions } from "@assay/cli/distributed/store-login";
import { differenceLines } from "@assay/cli/distributed/topic-table";
import { command_retry_wait_ms_max, forCommand } from "@assay/cli/distributed/with-servers";
import { clickhouseSettings } from "@assay/cli/embedded/settings";
import { run } from "@assay/cli/run";
import { readSettings } from "@assay/runtime/settings";
import { allTopics } from "@assay/schemas/topics";
import { fakeIo } from "./fake-io";

const servers = {
  ASSAY_KAFKA_BROKERS: "k1:9092,[::1]:9093",
  ASSAY_SCHEMA_REGISTRY_URL: "http://registry:8080/apis/ccompat/v7",
  ASSAY_CLICKHOUSE_URL: "https://clickhouse:8443",
};

function kafka(env: Record<string, string>) {
  return readSettings(kafkaSettings, { ...servers, ...env }, kafkaRelations);
}

test.each<[string, Record<string, string>, RegExp]>([
  ["brokers that are no list of host:port", { ASSAY_KAFKA_BROKERS: "k1" }, /ASSAY_KAFKA_BROKERS is "k1", not host:port/],
  ["brokers without a registry", { ASSAY_SCHEMA_REGISTRY_URL: "" }, /ASSAY_SCHEMA_REGISTRY_URL is not set/],
  ["files for TLS without TLS", { ASSAY_KAFKA_CA_FILE: "/ca.pem" }, /TLS is off \(ASSAY_KAFKA_TLS\)/],
  [
    "a certificate without its key",
    { ASSAY_KAFKA_TLS: "true", ASSAY_KAFKA_CERT_FILE: "/c.pem" },
    /needs both ASSAY_KAFKA_CERT_FILE/,
  ],
  ["a login without a password", { ASSAY_KAFKA_SASL: "plain", ASSAY_KAFKA_USER: "assay" }, /a user and a password are needed/],
  ["a user without a way to log in", { ASSAY_KAFKA_USER: "assay" }, /not how to log in \(ASSAY_KAFKA_SASL\)/],
  ["a registry's user without a password", { ASSAY_SCHEMA_REGISTRY_USER: "assay" }, /needs both ASSAY_SCHEMA_REGISTRY_USER/],
])("refuses %s", (_, env, message) => {
  const read = kafka(env);
  expect(read.ok ? [] : read.problems).toEqual([expect.stringMatching(message)]);
});

test("what is set becomes the options of the log", () => {
  const read = kafka({
    ASSAY_KAFKA_SASL: "scram-sha-512",
    ASSAY_KAFKA_USER: "u",
    ASSAY_KAFKA_PASSWORD: "p",
    ASSAY_KAFKA_TLS: "true",
  });
  if (!read.ok) throw new Error(read.problems.join());
  expect(kafkaOptions(read.settings)).toEqual({
    brokers: ["k1:9092", "[::1]:9093"],
    tls: {},
    sasl: { mechanism: "scram-sha-512", username: "u", password: "p" },
    partitions: 64,
    compression: "lz4",
    session_ms: 45_000,
    rebalance_ms: 60_000,
    retry_wait_ms: 300_000,
  });
  const missing = kafka({ ASSAY_KAFKA_TLS: "true", ASSAY_KAFKA_CA_FILE: "/nonexistent/ca.pem" });
  expect(() => missing.ok && kafkaOptions(missing.settings)).toThrow(
    "can't read /nonexistent/ca.pem: ENOENT (ASSAY_KAFKA_CA_FILE)",
  );
});

test("a store's login has what TLS and a cluster need, and inserts into a cluster wait for most replicas", () => {
  const read = readSettings(clickhouseSettings, { ...servers, ASSAY_CLICKHOUSE_CLUSTER: "main" }, clickhouseRelations);
  const login = read.ok ? serverLogin(read.settings) : undefined;
  expect(login).toEqual({ url: "https://clickhouse:8443", username: "assay", password: "", cluster: "main" });
  expect(login && storeOptions(login)).toMatchObject({ insert_quorum: "auto" });
  const plain = { ASSAY_CLICKHOUSE_URL: "http://c:8123", ASSAY_CLICKHOUSE_CA_FILE: "/ca.pem" };
  const refused = readSettings(clickhouseSettings, plain, clickhouseRelations);
  expect(refused.ok ? [] : refused.problems).toEqual([expect.stringMatching(/, and ASSAY_CLICKHOUSE_URL is no https URL$/)]);
});

test("with Kafka windows are those of a fleet, unless they are set", () => {
  expect(onKafka({})).toBe(false);
  expect(withDefaults({ ASSAY_KAFKA_BROKERS: "" })).toEqual({ ASSAY_KAFKA_BROKERS: "" });
  expect(withDefaults(servers)).toMatchObject({ ASSAY_WINDOW_MS: "60000", ASSAY_LATENESS_MS: "30000" });
  const own = withDefaults({ ...servers, ASSAY_WINDOW_MS: "10000" });
  expect(own).toMatchObject({ ASSAY_WINDOW_MS: "10000" });
  expect(own).not.toHaveProperty("ASSAY_LATENESS_MS");
});

test.each([
  [["setup"], /ASSAY_KAFKA_BROKERS is not set[\s\S]*ASSAY_CLICKHOUSE_URL is not set; assay setup needs/],
  [["service", "evaluator"], /ASSAY_KAFKA_BROKERS is not set[\s\S]*assay service evaluator needs a ClickHouse server/],
  [
    ["service", "ingest"],
    /^assay: a setting is wrong:\n {2}ASSAY_KAFKA_BROKERS is not set, and assay service ingest is for Kafka/,
  ],
  [["topics", "check"], /assay topics check is for Kafka, and ASSAY_KAFKA_BROKERS is not set/],
])("%j without servers says what is missing, all at once", async (argv, message) => {
  const io = fakeIo({});
  expect(await run(argv, io)).toBe(1);
  expect(io.err()).toMatch(message);
});

test("problems of all settings are told before anything is connected", async () => {
  const io = fakeIo({ ...servers, ASSAY_METRICS_PORT: "70000", ASSAY_WINDOW_MS: "x", ASSAY_KAFKA_BROKER: "k:1" });
  expect(await run(["service", "correlator"], io)).toBe(1);
  expect(io.err()).toMatch(/3 settings are wrong/);
  expect(io.err()).toMatch(/ASSAY_KAFKA_BROKER is not a setting of Assay; did you mean ASSAY_KAFKA_BROKERS\?/);
});

test("commands that somebody waits for give up soon where the brokers are away, in a line", async () => {
  const away = {
    ...servers,
    ASSAY_KAFKA_BROKERS: "127.0.0.1:1",
    ASSAY_SCHEMA_REGISTRY_URL: "http://127.0.0.1:1",
    ASSAY_KAFKA_RETRY_MS: "1000",
  };
  for (const [argv, message] of [
    [["topics", "check"], /^assay: could not look at the topics: .*127\.0\.0\.1:1[^\n]*\n$/],
    [["dead-letters", "list"], /^assay: could not look at dead letters: .*127\.0\.0\.1:1[^\n]*\n$/],
  ] as const) {
    const io = fakeIo(away);
    expect(await run(argv, io)).toBe(1);
    expect(io.err()).toMatch(message);
  }
  const read = kafka({});
  expect(read.ok && forCommand(read.settings).retry_ms).toBe(command_retry_wait_ms_max);
  const shorter = kafka({ ASSAY_KAFKA_RETRY_MS: "1000" });
  expect(shorter.ok && forCommand(shorter.settings).retry_ms).toBe(1_000);
});

test("every command reads what a fleet has as defaults", () => {
  const { env } = readDistributedSettings(servers, { command: "assay topics", store: false }, {});
  expect(env).toMatchObject({ ASSAY_WINDOW_MS: "60000", ASSAY_LATENESS_MS: "30000" });
  // A lateness that is right for the windows of a fleet, and not for those of one machine.
  const longer = { ...servers, ASSAY_LATENESS_MS: "20000" };
  expect(() => readDistributedSettings(longer, { command: "assay topics", store: false }, {})).not.toThrow();
});

test("without Kafka the table of topics is that of the embedded log", async () => {
  const io = fakeIo({});
  expect(await run(["topics", "show"], io)).toBe(0);
  for (const { name } of allTopics) expect(io.out()).toContain(name);
  expect(io.out()).toMatch(/assay\.telemetry +4 +time +1 d +host/);
});

test("differences of topics are said with what follows from them", () => {
  const difference = (what: string, fatal: boolean) => ({ what, wanted: "64", found: "12", fatal });
  const lines = differenceLines([
    { topic: "a", exists: true, differences: [] },
    { topic: "b", exists: false, differences: [] },
    { topic: "c", exists: true, differences: [difference("partitions", true)] },
    { topic: "d", exists: true, differences: [difference("retention.ms", false)] },
  ]);
  expect(lines).toEqual([
    expect.stringMatching(/^b is missing: assay topics create/),
    expect.stringMatching(
      /^c: partitions is 12, and should be 64\. A count is never changed under records\. .*1\. stop the agents/,
    ),
    expect.stringMatching(/^d: retention\.ms is 12, and should be 64; Assay works with it/),
  ]);
});

describe("a service that waits for the setup", () => {
  const check = (exists: boolean, fatal = false) =>
    allTopics.map(({ name }) => ({
      topic: name,
      exists,
      differences: fatal ? [{ what: "partitions", wanted: "8", found: "4", fatal }] : [],
    }));
  const wait = (checks: ReturnType<typeof check>, wait_ms: number, signal = new AbortController().signal) => {
    const missing: string[] = [];
    const log = { checkTopics: async () => checks };
    return { missing, done: awaitSetup({ log, store: undefined, wait_ms, signal, onMissing: (what) => missing.push(what) }) };
  };

  test("goes on at once where all is there", async () => {
    const { done, missing } = wait(check(true), 0);
    await done;
    expect(missing).toEqual([]);
  });

  test("gives up after its time, with what is missing", async () => {
    const { done, missing } = wait(check(false), 1_000);
    await expect(done).rejects.toThrow(/none of the topics is there yet.* within 1000 ms \(ASSAY_SETUP_WAIT_MS\)/);
    expect(missing).toEqual(["none of the topics is there yet"]);
  });

  test("ends at once where a topic can't be used, and when it is told to", async () => {
    await expect(wait(check(true, true), 60_000).done).rejects.toThrow(/assay\.telemetry has partitions 4, not 8/);
    const stop = new AbortController();
    const { done } = wait(check(false), 60_000, stop.signal);
    stop.abort(new Error("stopped"));
    await expect(done).rejects.toThrow();
  });
});

test("what comes after an abort is closed", async () => {
  const stop = new AbortController();
  let bring: (value: string) => void = () => undefined;
  const closed: string[] = [];
  const work = new Promise<string>((resolve) => {
    bring = resolve;
  });
  const waited = abortable(work, stop.signal, async (value) => void closed.push(value));
  stop.abort(new Error("stopped"));
  await expect(waited).rejects.toThrow("stopped");
  bring("connection");
  await work;
  await Promise.resolve();
  expect(closed).toEqual(["connection"]);
});
