/** What every adapter of the log owes its users. Each adapter's test runs it with a log of its own making. */
import type { TopicDefinition } from "@assay/schemas/topics";
import type { Log, LogRecord, NewRecord, Source, SourceEvent } from "@assay/stream/log";
import { note_bytes_max, RecordTooLargeError } from "@assay/stream/log";
import { partitionOfKey } from "@assay/stream/partitioner";

export interface LogUnderTest {
  readonly log: Log;
  /** Closes the log and opens the same one again, as after a restart of the process. */
  reopen(partitions?: number): Promise<Log>;
  /** Closes and removes everything. */
  dispose(): Promise<void>;
  readonly record_bytes_max: number;
  /** How long a change of membership may take to be told. */
  readonly rebalance_ms: number;
}

export const contract_partitions = 4;

export function describeLogContract(name: string, makeLog: () => Promise<LogUnderTest>): void {
  describe(`the log's contract, kept by ${name}`, () => {
    let under_test: LogUnderTest;
    let log: Log;

    beforeEach(async () => {
      under_test = await makeLog();
      log = under_test.log;
      await log.ensureTopics(definitions);
    });
    afterEach(() => under_test.dispose());

    const join = (
      group: string,
      options: { topic?: string; from?: "earliest" | "latest"; batch?: number } = {},
    ): Promise<Source> =>
      log.source({
        group,
        topics: [options.topic ?? keyed],
        from: options.from ?? "earliest",
        batch_records_max: options.batch ?? 100,
      });

    describe("appending", () => {
      it("numbers the records of a partition 0, 1, 2, … and keeps their order, keys, values and timestamps", async () => {
        const appended = await log.append([
          { topic: single, key: "a", value: Buffer.from("one"), timestamp: 1_000 },
          { topic: single, key: null, value: Buffer.from("two"), timestamp: 900 },
          { topic: single, key: Buffer.from([0, 255]), value: Buffer.alloc(0), timestamp: 1_100 },
        ]);
        expect(appended).toEqual([
          { partition: 0, offset: 0 },
          { partition: 0, offset: 1 },
          { partition: 0, offset: 2 },
        ]);
        const records = await log.read(single, 0, 0, 10);
        expect(records).toEqual([
          { topic: single, partition: 0, offset: 0, key: Buffer.from("a"), value: Buffer.from("one"), timestamp: 1_000 },
          { topic: single, partition: 0, offset: 1, key: null, value: Buffer.from("two"), timestamp: 900 },
          { topic: single, partition: 0, offset: 2, key: Buffer.from([0, 255]), value: Buffer.alloc(0), timestamp: 1_100 },
        ]);
      });

      it("gives a record the time of its appending where it brings none", async () => {
        const before = Date.now();
        await log.append([text(single, "a", "one")]);
        const [record] = await log.read(single, 0, 0, 1);
        expect(record?.timestamp).toBeGreaterThanOrEqual(before);
        expect(record?.timestamp).toBeLessThanOrEqual(Date.now());
      });

      it("keeps the order of calls that weren't awaited one by one", async () => {
        await Promise.all(Array.from({ length: 50 }, (_, n) => log.append([text(single, "k", String(n))])));
        const records = await log.read(single, 0, 0, 100);
        expect(records.map(textOf)).toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
      });

      it("chooses the partition by the partition, the partition key or the key, in this order", async () => {
        const [by_key] = await log.append([text(keyed, "host-1", "x")]);
        const [by_partition_key] = await log.append([{ ...text(keyed, "host-1/section", "x"), partition_key: "host-1" }]);
        const [by_partition] = await log.append([{ ...text(keyed, "host-1", "x"), partition: 3, partition_key: "host-2" }]);
        expect(by_key?.partition).toBe(partitionOfKey("host-1", contract_partitions));
        expect(by_key?.partition).toBe(log.partitionOf(keyed, "host-1"));
        expect(by_partition_key?.partition).toBe(by_key?.partition);
        expect(by_partition?.partition).toBe(3);
      });

      it("refuses a record that is too large, with nothing of the call appended", async () => {
        const large = { topic: single, key: "a", value: Buffer.alloc(under_test.record_bytes_max + 1) };
        await expect(log.append([text(single, "a", "small"), large])).rejects.toThrow(RecordTooLargeError);
        expect(await log.read(single, 0, 0, 10)).toEqual([]);
        await log.append([text(single, "a", "still usable")]);
        expect((await log.read(single, 0, 0, 10)).map(textOf)).toEqual(["still usable"]);
      });

      it("takes records of half a megabyte", async () => {
        const value = Buffer.alloc(524_288, 7);
        await log.append([
          { topic: single, key: "a", value },
          { topic: single, key: "b", value },
        ]);
        const records = await log.read(single, 0, 0, 10);
        expect(records.map((r) => r.value?.equals(value))).toEqual([true, true]);
      });

      it("refuses a topic that was never created, and a partition that the topic hasn't", async () => {
        await expect(log.append([text("assay.unknown", "a", "x")])).rejects.toThrow("assay.unknown");
        await expect(log.append([{ ...text(keyed, "a", "x"), partition: contract_partitions }])).rejects.toThrow(/partition 4/);
      });
    });

    describe("reading without a group", () => {
      it("tells the bounds of a partition, of an empty one too", async () => {
        expect(await log.bounds(single, 0)).toEqual({ earliest: 0, end: 0 });
        await log.append([text(single, "a", "1"), text(single, "b", "2")]);
        expect(await log.bounds(single, 0)).toEqual({ earliest: 0, end: 2 });
      });

      it("reads from an offset, at most so many, and nothing at the end", async () => {
        await log.append(["0", "1", "2", "3"].map((n) => text(single, "k", n)));
        expect((await log.read(single, 0, 1, 2)).map(textOf)).toEqual(["1", "2"]);
        expect(await log.read(single, 0, 4, 10)).toEqual([]);
      });

      it("keeps everything over a reopening", async () => {
        await log.append([text(single, "a", "1")]);
        log = await under_test.reopen();
        await log.append([text(single, "a", "2")]);
        expect((await log.read(single, 0, 0, 10)).map((r) => [r.offset, textOf(r)])).toEqual([
          [0, "1"],
          [1, "2"],
        ]);
      });
    });

    describe("topics", () => {
      it("creates them once, with the counts of their kind", async () => {
        await log.ensureTopics(definitions);
        expect(log.partitions(keyed)).toBe(contract_partitions);
        expect(log.partitions(single)).toBe(1);
      });

      it("refuses another partition count than the topic has, naming the topic, both numbers and the way out", async () => {
        log = await under_test.reopen(contract_partitions + 2);
        const refused = log.ensureTopics(definitions);
        await expect(refused).rejects.toThrow(new RegExp(`${keyed}.* 4 .*6`, "s"));
        await expect(refused).rejects.toThrow(/To change it/);
      });
    });

    describe("compaction", () => {
      it("ends with the newest record of each key, in order, under their own offsets", async () => {
        for (const [key, value] of [
          ["a", "1"],
          ["b", "1"],
          ["a", "2"],
          ["c", "1"],
          ["b", "2"],
        ] as const) {
          await log.append([{ ...text(compacted, key, value), partition: 1 }]);
        }
        const newest = newestByKey(await log.read(compacted, 1, 0, 10));
        expect(newest).toEqual({ a: [2, "2"], b: [4, "2"], c: [3, "1"] });
        expect(await log.bounds(compacted, 1)).toMatchObject({ end: 5 });
      });

      it("shows a tombstone to those who read along, and ends without the key", async () => {
        await log.append([
          { ...text(compacted, "a", "1"), partition: 0 },
          { ...text(compacted, "b", "1"), partition: 0 },
        ]);
        await log.append([{ topic: compacted, key: "a", value: null, partition: 0 }]);
        const records = await log.read(compacted, 0, 2, 10);
        expect(records).toMatchObject([{ offset: 2, key: Buffer.from("a"), value: null }]);
        expect(newestByKey(await log.read(compacted, 0, 0, 10))).toEqual({ b: [1, "1"] });
      });
    });

    describe("sources", () => {
      it("assigns every partition to the only member, then brings each partition's records in order", async () => {
        const values = Array.from({ length: 40 }, (_, n) => String(n));
        await log.append(values.map((value) => text(keyed, `host-${Number(value) % 8}`, value)));
        const source = await join("g");
        const assigned = await assignments(source, contract_partitions);
        expect(assigned.map((e) => e.partition).sort()).toEqual([0, 1, 2, 3]);
        expect(assigned.every((e) => e.kind === "assigned" && e.committed === undefined)).toBe(true);
        const records = await recordsOf(source, 40);
        expect(records.map(textOf).sort()).toEqual([...values].sort());
        for (let host = 0; host < 8; host++) {
          const own = records.filter((r) => r.key?.toString() === `host-${host}`).map((r) => Number(textOf(r)));
          expect(own).toEqual([...own].sort((a, b) => a - b));
        }
        await source.close();
      });

      it("keeps to the batch's limit and tells where the partition ends", async () => {
        await log.append(Array.from({ length: 7 }, (_, n) => text(single, "k", String(n))));
        const source = await join("g", { topic: single, batch: 3 });
        await assignments(source, 1);
        const sizes: number[] = [];
        for (let seen = 0; seen < 7; ) {
          const event = await untilRecords(source);
          sizes.push(event.records.length);
          seen += event.records.length;
          expect(event.end).toBe(7);
        }
        expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
        await source.close();
      });

      it("says idle when nothing came, and brings what comes while it waits", async () => {
        const source = await join("g", { topic: single });
        await assignments(source, 1);
        const before = performance.now();
        expect(await source.next(100)).toEqual({ kind: "idle" });
        expect(performance.now() - before).toBeGreaterThanOrEqual(95);
        const waiting = untilRecords(source);
        await log.append([text(single, "a", "late")]);
        expect((await waiting).records.map(textOf)).toEqual(["late"]);
        await source.close();
      });

      it("starts at the end where it is told latest", async () => {
        await log.append([text(single, "a", "old")]);
        const source = await join("g", { topic: single, from: "latest" });
        await assignments(source, 1);
        await log.append([text(single, "a", "new")]);
        expect((await untilRecords(source)).records.map(textOf)).toEqual(["new"]);
        await source.close();
      });

      it("reads nothing before it is asked", async () => {
        await log.append([text(single, "a", "1")]);
        const source = await join("g", { topic: single, batch: 1 });
        await assignments(source, 1);
        expect((await untilRecords(source)).records.map(textOf)).toEqual(["1"]);
        await log.append([text(single, "a", "2"), text(single, "a", "3")]);
        source.seek(single, 0, 2); // what would have been read ahead must not come
        expect((await untilRecords(source)).records.map(textOf)).toEqual(["3"]);
        await source.close();
      });

      it("seeks back to replay", async () => {
        await log.append(["0", "1", "2"].map((n) => text(single, "k", n)));
        const source = await join("g", { topic: single });
        await assignments(source, 1);
        await recordsOf(source, 3);
        source.seek(single, 0, 1);
        expect((await recordsOf(source, 2)).map(textOf)).toEqual(["1", "2"]);
        await source.close();
      });

      it("pauses one partition while others go on, and resumes it", async () => {
        const source = await join("g");
        await assignments(source, contract_partitions);
        source.pause(keyed, 0);
        await log.append([0, 1].map((partition) => ({ ...text(keyed, "k", String(partition)), partition })));
        expect((await untilRecords(source)).records.map(textOf)).toEqual(["1"]);
        expect((await source.next(100)).kind).toBe("idle");
        source.resume(keyed, 0);
        expect((await untilRecords(source)).records.map(textOf)).toEqual(["0"]);
        await source.close();
      });

      it("refuses to seek, pause or resume a partition that isn't assigned", async () => {
        const source = await join("g", { topic: single });
        await assignments(source, 1);
        expect(() => source.seek(single, 1, 0)).toThrow(/partition 1 of/);
        await source.close();
      });
    });

    describe("positions", () => {
      it("come back with their note at the next assignment, also after a reopening", async () => {
        await log.append(["0", "1", "2"].map((n) => text(single, "k", n)));
        let source = await join("g", { topic: single });
        const [first] = await assignments(source, 1);
        await recordsOf(source, 3);
        const note = `née {"e":1} ${"x".repeat(100)}`;
        expect(await source.commit({ topic: single, partition: 0, offset: 2 }, generationOf(first), note)).toBe("committed");
        await source.close();
        expect(await log.committed("g", single, 0)).toEqual({ offset: 2, note });

        log = await under_test.reopen();
        source = await join("g", { topic: single });
        const [again] = await assignments(source, 1);
        expect(again).toMatchObject({ committed: { offset: 2, note } });
        expect((await recordsOf(source, 1)).map(textOf)).toEqual(["2"]);
        await source.close();
      });

      it("take notes of up to 4,096 bytes of UTF-8 and refuse longer ones", async () => {
        const source = await join("g", { topic: single });
        const [assigned] = await assignments(source, 1);
        const at = { topic: single, partition: 0, offset: 0 };
        const longest = "é".repeat(note_bytes_max / 2);
        expect(await source.commit(at, generationOf(assigned), longest)).toBe("committed");
        await expect(source.commit(at, generationOf(assigned), `${longest}x`)).rejects.toThrow(/4097 bytes; at most 4096/);
        expect(await log.committed("g", single, 0)).toEqual({ offset: 0, note: longest });
        await source.close();
      });

      it("belong to one group and one partition", async () => {
        const source = await join("g");
        const assigned = await assignments(source, contract_partitions);
        await source.commit({ topic: keyed, partition: 1, offset: 5 }, generationOf(assigned[0]), "");
        expect(await log.committed("g", keyed, 1)).toEqual({ offset: 5, note: "" });
        expect(await log.committed("g", keyed, 0)).toBeUndefined();
        expect(await log.committed("h", keyed, 1)).toBeUndefined();
        await source.close();
      });
    });

    describe("groups", () => {
      it("deal a group's partitions out to its members, anew when one joins and when one leaves", async () => {
        const first = new Follower(await join("g"));
        await first.until(() => first.held.size === contract_partitions);
        const before = first.generation;
        const second = new Follower(await join("g"));
        await settled([first, second], under_test.rebalance_ms);
        expect([...first.held, ...second.held].sort()).toEqual([0, 1, 2, 3]);
        expect(first.revoked).toEqual(expect.arrayContaining([...second.held]));
        expect(second.generation).toBeGreaterThan(before);
        expect(first.generation).toBe(second.generation);

        await second.source.close();
        await first.until(() => first.held.size === contract_partitions, under_test.rebalance_ms);
        expect(first.generation).toBeGreaterThan(second.generation);
        await first.source.close();
      });

      it("bring each record to one member only, and to each group", async () => {
        const first = new Follower(await join("g"));
        await first.until(() => first.held.size === contract_partitions);
        const second = new Follower(await join("g"));
        await settled([first, second], under_test.rebalance_ms);
        const other_group = new Follower(await join("h"));
        await log.append([0, 1, 2, 3].map((partition) => ({ ...text(keyed, "k", String(partition)), partition })));
        await Promise.all([first, second].map((f) => f.until(() => f.records.length === 2)));
        await other_group.until(() => other_group.records.length === 4);
        expect([...first.records, ...second.records].map(textOf).sort()).toEqual(["0", "1", "2", "3"]);
        for (const follower of [first, second, other_group]) await follower.source.close();
      });

      it("fence the commits of an ended generation", async () => {
        const first = new Follower(await join("g"));
        await first.until(() => first.held.size === contract_partitions);
        const ended = first.generation;
        expect(await first.source.commit({ topic: keyed, partition: 0, offset: 1 }, ended, "in time")).toBe("committed");
        const second = new Follower(await join("g"));
        await settled([first, second], under_test.rebalance_ms);
        const [mine] = [...first.held];
        const [theirs] = [...second.held];
        expect(await first.source.commit({ topic: keyed, partition: mine ?? -1, offset: 7 }, ended, "late")).toBe("fenced");
        expect(
          await first.source.commit({ topic: keyed, partition: theirs ?? -1, offset: 7 }, first.generation, "not mine"),
        ).toBe("fenced");
        expect(await first.source.commit({ topic: keyed, partition: mine ?? -1, offset: 8 }, first.generation, "now")).toBe(
          "committed",
        );
        expect(await log.committed("g", keyed, theirs ?? -1)).toEqual(theirs === 0 ? { offset: 1, note: "in time" } : undefined);
        expect(await log.committed("g", keyed, mine ?? -1)).toEqual({ offset: 8, note: "now" });
        for (const follower of [first, second]) await follower.source.close();
      });

      it("hand a partition on with the position and note of the member before", async () => {
        const first = new Follower(await join("g", { topic: single }));
        await first.until(() => first.held.size === 1);
        await log.append(["0", "1"].map((n) => text(single, "k", n)));
        await first.until(() => first.records.length === 2);
        await first.source.commit({ topic: single, partition: 0, offset: 1 }, first.generation, "mine");
        await first.source.close();
        const second = await join("g", { topic: single });
        const [assigned] = await assignments(second, 1);
        expect(assigned).toMatchObject({ committed: { offset: 1, note: "mine" } });
        expect((await recordsOf(second, 1)).map(textOf)).toEqual(["1"]);
        await second.close();
      });

      it("answer fenced after the member has left", async () => {
        const source = await join("g", { topic: single });
        const [assigned] = await assignments(source, 1);
        await source.close();
        expect(await source.commit({ topic: single, partition: 0, offset: 1 }, generationOf(assigned), "")).toBe("fenced");
      });
    });
  });
}

export const keyed = "contract.keyed";
export const single = "contract.single";
export const compacted = "contract.compacted";

export function definition(name: string, changes: Partial<TopicDefinition> = {}): TopicDefinition {
  return { name, partitioning: "keyed", cleanup: "time", retention_ms: 86_400_000, schemas: [], key: "test", ...changes };
}

const definitions = [
  definition(keyed),
  definition(single, { partitioning: "single", retention_ms: 400 * 365 * 86_400_000 }),
  definition(compacted, { cleanup: "compact", retention_ms: undefined }),
];

export function text(topic: string, key: string, value: string): NewRecord {
  return { topic, key, value: Buffer.from(value) };
}

export function textOf(record: LogRecord): string | undefined {
  return record.value?.toString();
}

type Assigned = Extract<SourceEvent, { kind: "assigned" }>;
type Records = Extract<SourceEvent, { kind: "records" }>;
const patience_ms = 20_000;

/** The first so many assignments; nothing else may come before them. */
export async function assignments(source: Source, count: number): Promise<Assigned[]> {
  const assigned: Assigned[] = [];
  const deadline = performance.now() + patience_ms;
  while (assigned.length < count) {
    const event = await source.next(1_000);
    if (event.kind === "assigned") assigned.push(event);
    else if (event.kind !== "idle" || performance.now() > deadline) throw new Error(`${event.kind} in place of an assignment`);
  }
  return assigned;
}

export async function untilRecords(source: Source): Promise<Records> {
  const deadline = performance.now() + patience_ms;
  for (;;) {
    const event = await source.next(1_000);
    if (event.kind === "records") return event;
    if (event.kind !== "idle" || performance.now() > deadline) throw new Error(`${event.kind} in place of records`);
  }
}

export async function recordsOf(source: Source, count: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  while (records.length < count) records.push(...(await untilRecords(source)).records);
  return records;
}

function generationOf(event: Assigned | undefined): number {
  return event?.generation ?? -1;
}

function newestByKey(records: readonly LogRecord[]): Record<string, [number, string]> {
  const newest: Record<string, [number, string]> = {};
  for (const { key, value, offset } of records) {
    const name = key?.toString() ?? "";
    if (value === null) delete newest[name];
    else newest[name] = [offset, value.toString()];
  }
  return newest;
}

/** Until the members hold all partitions among them, equally many each, in one generation. */
async function settled(members: readonly Follower[], within_ms: number): Promise<void> {
  const deadline = performance.now() + within_ms;
  const isSettled = () =>
    new Set(members.map((m) => m.generation)).size === 1 &&
    members.every((m) => m.held.size === contract_partitions / members.length) &&
    new Set(members.flatMap((m) => [...m.held])).size === contract_partitions;
  while (!isSettled()) {
    if (performance.now() > deadline) throw new Error(`not settled in ${within_ms} ms`);
    await Promise.all(members.map((m) => m.follow()));
  }
}

/** A member that keeps account of what it is told. */
class Follower {
  readonly held = new Set<number>();
  readonly revoked: number[] = [];
  readonly records: LogRecord[] = [];
  generation = -1;

  constructor(readonly source: Source) {}

  async until(reached: () => boolean, within_ms = patience_ms): Promise<void> {
    const deadline = performance.now() + within_ms;
    while (!reached()) {
      if (performance.now() > deadline) throw new Error(`not reached in ${within_ms} ms; holds ${[...this.held]}`);
      await this.follow();
    }
  }

  async follow(): Promise<void> {
    this.take(await this.source.next(100));
  }

  private take(event: SourceEvent): void {
    if (event.kind === "idle") return;
    if (event.kind === "assigned") {
      this.held.add(event.partition);
      this.generation = event.generation;
    } else if (event.kind === "revoked") {
      expect(event.generation).toBe(this.generation);
      this.held.delete(event.partition);
      this.revoked.push(event.partition);
    } else {
      expect(this.held.has(event.partition)).toBe(true);
      expect(event.generation).toBe(this.generation);
      this.records.push(...event.records);
    }
  }
}
