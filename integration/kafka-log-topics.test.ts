/** Topics on the brokers: created by the table, compared with it, never changed. And what compaction does to reading. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { allTopics, topics } from "@assay/schemas/topics";
import type { KafkaLog } from "@assay/stream/kafka-log";
import {
  assignments,
  compacted,
  definition,
  keyed,
  single,
  text,
  textOf,
  untilRecords,
} from "../packages/stream/test/log-contract";
import { TestLogs } from "./kafka-test-logs";
import { testBrokers } from "./test-servers";

let logs: TestLogs;
let log: KafkaLog;

beforeEach(async () => {
  logs = new TestLogs(testBrokers());
  log = await logs.open();
});
afterEach(() => logs.dispose());

describe("topics", () => {
  it("are created as the table says, which the check confirms; before, it says that they are missing", async () => {
    expect(await log.checkTopics(allTopics)).toEqual(
      allTopics.map(({ name }) => ({ topic: name, exists: false, differences: [] })),
    );
    await log.ensureTopics(allTopics);
    expect(await log.checkTopics(allTopics)).toEqual(
      allTopics.map(({ name }) => ({ topic: name, exists: true, differences: [] })),
    );
    expect(log.partitions(topics.telemetry.name)).toBe(4);
    expect(log.partitions(topics.control.name)).toBe(1);
  });

  it("are created once by services that start together", async () => {
    const others = await Promise.all([logs.open(), logs.open()]);
    await Promise.all([log, ...others].map((each) => each.ensureTopics(allTopics)));
    for (const each of others) expect(each.partitions(topics.telemetry.name)).toBe(4);
  });

  it("are refused where another cleanup or a smaller record would lose records, and left as they are", async () => {
    const create = async (topic: string, changed: Record<string, string>) => {
      const settings = Object.entries({ "max.message.bytes": "2097152", ...changed });
      const configEntries = settings.map(([name, value]) => ({ name, value }));
      const created = { topic: logs.prefix + topic, numPartitions: 4, configEntries };
      await logs.administer((admin) => admin.createTopics({ topics: [created], waitForLeaders: false }));
      while (!(await log.checkTopics([definition(topic)]))[0]?.exists) await sleep(50);
    };
    await create(keyed, { "cleanup.policy": "compact" });
    await create("contract.small", { "max.message.bytes": "1000" });
    await create("contract.short", { "retention.ms": "60000" });
    await expect(log.ensureTopics([definition(keyed)])).rejects.toThrow(
      /contract.keyed has cleanup.policy=compact, where delete/,
    );
    await expect(log.ensureTopics([definition("contract.small")])).rejects.toThrow(/max.message.bytes=1000, where 2097152/);
    await log.ensureTopics([definition("contract.short")]);
    expect(logs.told.filter(({ level }) => level === "warn")).toEqual(
      expect.arrayContaining([
        {
          level: "warn",
          fields: { topic: "contract.short", what: "retention.ms", wanted: "86400000", found: "60000" },
          message: "a topic's setting isn't as Assay creates it",
        },
      ]),
    );
    const [check] = await log.checkTopics([definition(keyed)]);
    expect(check?.differences).toContainEqual({ what: "cleanup.policy", wanted: "delete", found: "compact", fatal: true });
  });
});

describe("records that are gone", () => {
  it("are passed over: reading goes on behind batches that compaction has emptied", async () => {
    await log.ensureTopics([definition(compacted, { cleanup: "compact", retention_ms: undefined })]);
    await logs.administer((admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [
          {
            type: 2,
            name: logs.prefix + compacted,
            configEntries: [
              { name: "cleanup.policy", value: "compact" },
              { name: "segment.bytes", value: "1048576" },
              { name: "min.cleanable.dirty.ratio", value: "0.0" },
              { name: "delete.retention.ms", value: "0" },
              { name: "max.message.bytes", value: "2097152" },
            ],
          },
        ],
      }),
    );
    const append = (key: string, value: Buffer | null) => log.append([{ topic: compacted, partition: 0, key, value }]);
    const filler = randomBytes(400_000);
    for (let n = 0; n < 12; n++) await append(`key ${n % 2}`, Buffer.concat([Buffer.from(`${n} `), filler]));
    for (let n = 0; n < 2; n++) await append(`key ${n}`, null);
    await append("last", Buffer.from("last"));
    const kept = async () => {
      const offsets: number[] = [];
      for (let offset = 0; ; ) {
        const records = await log.read(compacted, 0, offset, 100);
        const last = records.at(-1);
        if (!last) return offsets;
        offsets.push(...records.map((record) => record.offset));
        offset = last.offset + 1;
      }
    };
    const deadline = performance.now() + 60_000;
    for (let offsets = await kept(); offsets.length > 8; offsets = await kept()) {
      if (performance.now() > deadline) throw new Error(`not compacted: ${offsets}`);
      await sleep(1_000);
      await append("last", Buffer.concat([Buffer.from("last "), filler])); // rolls segments, which lets the cleaner at them
    }
    const source = await log.source({ group: "g", topics: [compacted], from: "earliest", batch_records_max: 2 });
    const assigned = await assignments(source, 4);
    expect(assigned.map(({ earliest }) => earliest)).toEqual([0, 0, 0, 0]);
    const { end } = await log.bounds(compacted, 0);
    const seen: number[] = [];
    while (seen.at(-1) !== end - 1) seen.push(...(await untilRecords(source)).records.map(({ offset }) => offset));
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen).toEqual(expect.arrayContaining(await kept()));
    expect(seen.length).toBeLessThan(end);
    await source.close();
  });

  it("by retention end the source that was to read them, and are passed over where no group reads", async () => {
    await log.ensureTopics([definition(single, { partitioning: "single" })]);
    await log.append(["0", "1", "2", "3"].map((n) => text(single, "k", n)));
    const source = await log.source({ group: "g", topics: [single], from: "earliest", batch_records_max: 1 });
    await assignments(source, 1);
    expect((await untilRecords(source)).records.map(textOf)).toEqual(["0"]);
    source.pause(single, 0);
    source.seek(single, 0, 1);
    await logs.administer(async (admin) => {
      const topic = logs.prefix + single;
      await admin.fetchTopicOffsets(topic); // it learns leaders by that
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "3" }] });
    });
    source.resume(single, 0);
    await expect(untilRecords(source)).rejects.toThrow(/at offset 1, but the log begins at 3 .* 2 records were dropped/);
    expect((await log.read(single, 0, 0, 10)).map(textOf)).toEqual(["3"]);
    await source.close();
  });
});
