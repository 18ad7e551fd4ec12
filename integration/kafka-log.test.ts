import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { record_bytes_max } from "@assay/stream/kafka/prepare-records";
import { contract_partitions, definition, describeLogContract, keyed } from "../packages/stream/test/log-contract";
import { TestLogs } from "./kafka-test-logs";
import { testBrokers } from "./test-servers";

describeLogContract("the log on Kafka", async () => {
  const logs = new TestLogs(testBrokers());
  let log = await logs.open({ partitions: contract_partitions });
  return {
    log,
    record_bytes_max,
    rebalance_ms: 15_000,
    async reopen(partitions = contract_partitions) {
      await log.close();
      log = await logs.open({ partitions });
      return log;
    },
    dispose: () => logs.dispose(),
  };
});

describe("the log on Kafka", () => {
  it("does nothing while it is idle but beat and look for late answers, and its process ends once it is closed", async () => {
    const logs = new TestLogs(testBrokers());
    const log = await logs.open();
    await log.ensureTopics([definition(keyed)]);
    const idle_ms = 3_000;
    const options = { brokers: logs.brokers, topic_prefix: logs.prefix, topic: keyed, idle_ms };
    const script = join(__dirname, "fixtures/idle-log.js");
    const ended = await promisify(execFile)(process.execPath, [script, JSON.stringify(options)], { timeout: 60_000 });
    expect(ended.stderr).toBe("");
    const timers_a_second = Number(ended.stdout) / (idle_ms / 1_000);
    expect(timers_a_second).toBeLessThan(100); // each of its few connections looks for late answers ten times a second
    await logs.dispose();
  });

  it("keeps the order of appends that weren't awaited, to a topic that it doesn't know yet", async () => {
    const logs = new TestLogs(testBrokers());
    await (await logs.open()).ensureTopics([definition(keyed)]);
    const log = await logs.open();
    const numbers = Array.from({ length: 200 }, (_, n) => String(n));
    const appended: Promise<unknown>[] = [];
    for (const n of numbers) {
      appended.push(log.append([{ topic: keyed, partition: 0, key: "k", value: Buffer.from(n) }]));
      if (Number(n) % 20 === 19) await sleep(1);
    }
    await Promise.all(appended);
    expect((await log.read(keyed, 0, 0, 500)).map(({ value }) => String(value))).toEqual(numbers);
    await logs.dispose();
  });

  it.each(["none", "gzip"] as const)("takes compression by %s, and reads what others have compressed", async (compression) => {
    const logs = new TestLogs(testBrokers());
    const [one, other] = [await logs.open({ compression }), await logs.open()];
    await one.ensureTopics([definition(keyed)]);
    const records = Array.from({ length: 50 }, (_, n) => ({ topic: keyed, partition: 0, key: "k", value: Buffer.from(`${n}`) }));
    for (const log of [one, other]) await log.append(records);
    for (const log of [one, other]) {
      const read = await log.read(keyed, 0, 0, 200);
      expect(read.map(({ value }) => String(value))).toEqual([...records, ...records].map(({ value }) => String(value)));
    }
    await logs.dispose();
  });

  it("hands records to those who must know them first", async () => {
    const logs = new TestLogs(testBrokers());
    const seen: string[] = [];
    const log = await logs.open({
      async beforeRecords(records) {
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(...records.map(({ topic, value }) => `${topic} ${value}`));
      },
    });
    await log.ensureTopics([definition(keyed)]);
    await log.append([{ topic: keyed, partition: 1, key: "k", value: Buffer.from("v") }]);
    await log.read(keyed, 1, 0, 1);
    expect(seen.splice(0)).toEqual([`${keyed} v`]);
    const source = await log.source({ group: "g", topics: [keyed], from: "earliest", batch_records_max: 10 });
    while ((await source.next(1_000)).kind !== "records") expect(seen).toEqual([]);
    expect(seen).toEqual([`${keyed} v`]);
    await logs.dispose();
  });
});
