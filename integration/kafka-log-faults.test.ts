/** What the log on Kafka does when its broker fails it, on a broker of its own behind a proxy. */
import { setTimeout as sleep } from "node:timers/promises";
import type { KafkaLog } from "@assay/stream/kafka-log";
import type { SourceEvent } from "@assay/stream/log";
import { assignments, definition, recordsOf, single, text, textOf } from "../packages/stream/test/log-contract";
import { TestLogs } from "./kafka-test-logs";
import { type PrivateBroker, startPrivateBroker } from "./private-broker";
import { TcpProxy } from "./tcp-proxy";

let proxy: TcpProxy;
let broker: PrivateBroker;
let logs: TestLogs;

beforeAll(async () => {
  proxy = await TcpProxy.open();
  const settings = { "advertised.listeners": `PLAINTEXT://127.0.0.1:${proxy.port}` };
  broker = await startPrivateBroker({ settings });
  proxy.target_port = Number(broker.brokers[0]?.split(":")[1]);
});
afterAll(async () => {
  await broker.close();
  await proxy.close();
});
beforeEach(() => {
  logs = new TestLogs([`127.0.0.1:${proxy.port}`]);
});
afterEach(async () => {
  proxy.passAnswers();
  await logs.dispose();
});

async function open(retry_wait_ms = 60_000): Promise<KafkaLog> {
  const log = await logs.open({ retry_wait_ms });
  await log.ensureTopics([definition(single, { partitioning: "single" })]);
  return log;
}

async function allTexts(log: KafkaLog): Promise<(string | undefined)[]> {
  const texts: (string | undefined)[] = [];
  for (let offset = 0; ; ) {
    const records = await log.read(single, 0, offset, 1_000);
    const last = records.at(-1);
    if (!last) return texts;
    texts.push(...records.map(textOf));
    offset = last.offset + 1;
  }
}

/** Cuts all connections until it is done, so that no answer is ever heard. */
async function withoutAnswers(until: Promise<unknown>): Promise<void> {
  let over = false;
  proxy.holdAnswers();
  void until.finally(() => {
    over = true;
  });
  while (!over) {
    await sleep(200);
    proxy.cut();
  }
  proxy.passAnswers();
}

describe("appending while answers get lost", () => {
  it("writes what was accepted without an answer once, and tells its first offset", async () => {
    const log = await open();
    await log.append([text(single, "k", "before")]);
    proxy.holdAnswers();
    const appended = log.append([text(single, "k", "1"), text(single, "k", "2")]);
    const after = log.append([text(single, "k", "3")]);
    await sleep(500); // the broker has it by now
    proxy.passAnswers();
    proxy.cut();
    expect(await appended).toEqual([
      { partition: 0, offset: 1 },
      { partition: 0, offset: 2 },
    ]);
    expect(await after).toEqual([{ partition: 0, offset: 3 }]);
    expect(await allTexts(log)).toEqual(["before", "1", "2", "3"]);
  });

  it("rejects after retry_wait_ms, and writes what comes later, which isn't taken for a repeat", async () => {
    const log = await open(1_500);
    await log.append([text(single, "k", "before")]);
    const given_up = log.append([text(single, "k", "unknown")]).then(
      () => "appended",
      (error: unknown) => (error instanceof Error ? error.message : ""),
    );
    await withoutAnswers(given_up);
    expect(await given_up).toMatch(/an append to .*contract.single was given up after .*ASSAY_KAFKA_RETRY_MS/);
    const later = await log.append([text(single, "k", "later")]);
    const texts = await allTexts(log);
    expect(texts.filter((t) => t !== "unknown")).toEqual(["before", "later"]);
    expect(texts.indexOf("later")).toBe(later[0]?.offset);
  });

  it("keeps the order of many calls over cut connections", async () => {
    const log = await open();
    const numbers = Array.from({ length: 300 }, (_, n) => String(n));
    const appending = Promise.all(
      numbers.map(async (n) => {
        await sleep(Number(n) * 5);
        return log.append([text(single, "k", n)]);
      }),
    );
    for (let cut = 0; cut < 8; cut++) {
      await sleep(200);
      proxy.cut();
    }
    const appended = await appending;
    expect(appended.map(([a]) => a?.offset)).toEqual(numbers.map(Number));
    expect(await allTexts(log)).toEqual(numbers);
  });
});

describe("a broker that goes and comes back", () => {
  it.each([
    ["is killed", 8_000, () => broker.kill(), () => broker.start()],
    ["is stopped", 8_000, () => broker.stop(), () => broker.start()],
    ["freezes for longer than a session", 16_000, async () => broker.freeze(), async () => broker.thaw()],
  ])("which %s holds up appends and reads, and loses and doubles nothing", async (_name, away_ms, away, back) => {
    const log = await open();
    const source = await log.source({ group: "g", topics: [single], from: "earliest", batch_records_max: 10 });
    await assignments(source, 1);
    await log.append([text(single, "k", "0")]);
    const seen = (await recordsOf(source, 1)).map(textOf);
    await away();
    const appending = Promise.all(["1", "2", "3"].map((n) => log.append([text(single, "k", n)])));
    const idle: SourceEvent[] = [];
    for (const until = performance.now() + away_ms; performance.now() < until; ) idle.push(await source.next(1_000));
    expect(idle.every(({ kind }) => kind === "idle")).toBe(true);
    expect(log.ready()).toMatchObject({ ready: false, reason: expect.stringMatching(/waiting for Kafka/) });
    await back();
    await appending;
    while (seen.length < 4) {
      const event = await source.next(1_000);
      if (event.kind === "records") seen.push(...event.records.map(textOf));
      else if (event.kind === "assigned") source.seek(single, 0, seen.length);
    }
    expect(seen).toEqual(["0", "1", "2", "3"]);
    expect(await allTexts(log)).toEqual(seen);
    expect(log.ready()).toEqual({ ready: true });
    await source.close();
  });

  it("that stays away longer than retry_wait_ms ends what waits for it, with a reason", async () => {
    const log = await open(2_000);
    const source = await log.source({ group: "g", topics: [single], from: "earliest", batch_records_max: 10 });
    const [assigned] = await assignments(source, 1);
    await broker.kill();
    try {
      const given_up = expect.stringMatching(/was given up after \d+ ms; brokers may be away for 2000 ms/);
      const failures = await Promise.all([
        failureOf(() => log.append([text(single, "k", "1")])),
        failureOf(() => log.bounds(single, 0)),
        failureOf(() => log.read(single, 0, 0, 1)),
        failureOf(() => log.committed("g", single, 0)),
        failureOf(() => source.commit({ topic: single, partition: 0, offset: 0 }, assigned?.generation ?? -1, "")),
        failureOf(async () => {
          for (;;) await source.next(100);
        }),
      ]);
      expect(failures).toEqual(failures.map(() => given_up));
    } finally {
      await broker.start();
    }
  });
});

async function failureOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return "none";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
