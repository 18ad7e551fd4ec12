import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import type { TopicDefinition } from "@assay/schemas/topics";
import { topics } from "@assay/schemas/topics";
import { record_bytes_max } from "@assay/stream/embedded/framing";
import { tombstone_min_ms } from "@assay/stream/embedded/retention";
import {
  attachEmbeddedLog,
  type EmbeddedLog,
  type EmbeddedLogOptions,
  openEmbeddedLog,
  readEmbeddedLog,
} from "@assay/stream/embedded-log";
import { type Log, LogFullError, type LogRecord } from "@assay/stream/log";
import {
  assignments,
  compacted,
  contract_partitions,
  definition,
  describeLogContract,
  keyed,
  single,
  text,
  textOf,
} from "./log-contract";

const fixtures = join(__dirname, "fixtures");

describeLogContract("the embedded log", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-log-"));
  let log = await openEmbeddedLog({ directory, partitions: contract_partitions });
  return {
    log,
    record_bytes_max,
    rebalance_ms: 5_000,
    async reopen(partitions = contract_partitions) {
      await log.close();
      log = await openEmbeddedLog({ directory, partitions });
      return log;
    },
    async dispose() {
      await log.close();
      rmSync(directory, { recursive: true });
    },
  };
});

describe("the embedded log", () => {
  let directory: string;
  const logs: EmbeddedLog[] = [];
  const children: ChildProcess[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "assay-log-"));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await killed(child);
    for (const log of logs.splice(0)) await log.close();
    rmSync(directory, { recursive: true });
  });

  async function open(
    options: Partial<EmbeddedLogOptions> = {},
    definitions: TopicDefinition[] = [definition(keyed)],
  ): Promise<EmbeddedLog> {
    const log = await openEmbeddedLog({ directory, ...options });
    logs.push(log);
    await log.ensureTopics(definitions);
    return log;
  }

  /** A process that appends to the topic until it is killed; lines are what it acknowledged. */
  async function appendingChild(round: number): Promise<{ child: ChildProcess; lines: string[] }> {
    const child = spawn(process.execPath, [join(fixtures, "appending-child.js"), directory, keyed, String(round)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const lines: string[] = [];
    const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    reader.on("line", (line) => lines.push(line));
    await once(reader, "line");
    return { child, lines };
  }

  it("names no setting for the count of partitions, since there is none", async () => {
    await (await open({ partitions: 4 })).close();
    await expect(open({ partitions: 6 })).rejects.toThrow(/has 4 partitions and 6 are asked for\. (?!.*ASSAY_)/s);
  });

  describe("killed with -9 while it appends", () => {
    it("has every record that it acknowledged, and of each append all or nothing", async () => {
      const log = await open();
      await log.close();
      const acknowledged: string[] = [];
      for (let round = 0; round < 5; round++) {
        const { child, lines } = await appendingChild(round);
        await new Promise((resolve) => setTimeout(resolve, 40 + round * 37));
        await killed(child);
        acknowledged.push(...lines.filter((line) => line.split(" ").length === 2));
      }
      const after = await open();
      const batches = new Map<string, number>();
      for (let partition = 0; partition < contract_partitions; partition++) {
        const records = await readAll(after, keyed, partition);
        expect(records.map((r) => r.offset)).toEqual(records.map((_, n) => n));
        for (const record of records) {
          const [batch = "", , size] = textOf(record)?.split(" ") ?? [];
          batches.set(`${batch} ${size}`, (batches.get(`${batch} ${size}`) ?? 0) + 1);
        }
      }
      expect(acknowledged.length).toBeGreaterThan(20);
      expect(acknowledged.filter((line) => !batches.has(line))).toEqual([]);
      for (const [line, count] of batches) expect(`${line}: ${count}`).toBe(`${line}: ${line.split(" ")[1]}`);
    });
  });

  describe("as one process's own", () => {
    it("is refused to another process, with the pid of its owner, and given to it once that is dead", async () => {
      await (await open()).close();
      const { child } = await appendingChild(0);
      await expect(openEmbeddedLog({ directory, owner_wait_ms: 0 })).rejects.toThrow(
        new RegExp(`${directory} is in use by process ${child.pid}`),
      );
      const opening = open({ owner_wait_ms: 10_000 });
      await killed(child);
      await (await opening).append([text(keyed, "a", "mine")]);
    });

    it("can be read by a process that doesn't own it, while its owner appends", async () => {
      await (await open()).close();
      const { lines } = await appendingChild(0);
      const reader = await readEmbeddedLog({ directory });
      try {
        await eventually(() => lines.length > 5);
        const acknowledged = lines.slice(1, 6);
        const seen = new Set<string>();
        for (let partition = 0; partition < contract_partitions; partition++) {
          for (const record of await readAll(reader, keyed, partition)) {
            const [batch, , size] = textOf(record)?.split(" ") ?? [];
            seen.add(`${batch} ${size}`);
          }
        }
        expect(acknowledged.filter((line) => !seen.has(line))).toEqual([]);
      } finally {
        await reader.close();
      }
    });

    it("bears a process that opens and closes it over and over while its owner appends, and loses nothing", async () => {
      await (await open()).close();
      const { child, lines } = await appendingChild(0);
      const reading = spawn(process.execPath, [join(fixtures, "reading-child.js"), directory, keyed], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(reading);
      let times = 0;
      createInterface({ input: reading.stdout }).on("line", () => {
        times++;
      });
      await eventually(() => times >= 500 || child.exitCode !== null || child.signalCode !== null);
      expect({ code: child.exitCode, signal: child.signalCode }).toEqual({ code: null, signal: null });
      await killed(reading);
      await killed(child);
      const seen = new Set<string>();
      const log = await open();
      for (let partition = 0; partition < contract_partitions; partition++) {
        for (const record of await readAll(log, keyed, partition)) {
          const [batch, , size] = textOf(record)?.split(" ") ?? [];
          seen.add(`${batch} ${size}`);
        }
      }
      expect(lines.slice(1).filter((line) => line.split(" ").length === 2 && !seen.has(line))).toEqual([]);
    });

    it("can't be opened twice by the same process, nor attached to before it is open", async () => {
      await expect(attachEmbeddedLog({ directory })).rejects.toThrow(/is not open/);
      const log = await open();
      await expect(openEmbeddedLog({ directory, owner_wait_ms: 0 })).rejects.toThrow(/already open in this process/);
      await log.append([text(keyed, "a", "still works")]);
    });

    it("forgets the members of the process before it, and goes on counting generations", async () => {
      const first = await open();
      const source = await first.source({ group: "g", topics: [keyed], from: "earliest", batch_records_max: 10 });
      const [before] = await assignments(source, contract_partitions);
      await first.close();
      const second = await open();
      const again = await second.source({ group: "g", topics: [keyed], from: "earliest", batch_records_max: 10 });
      const after = await assignments(again, contract_partitions);
      expect(after[0]?.generation).toBeGreaterThan(before?.generation ?? Number.POSITIVE_INFINITY);
    });
  });

  describe("shared by threads", () => {
    async function attach(name: string, session_ms = 30_000): Promise<{ worker: Worker; messages: Message[] }> {
      const worker = new Worker(join(fixtures, "attached-worker.js"), { workerData: { directory, name, session_ms } });
      const messages: Message[] = [];
      worker.on("message", (message: Message) => messages.push(message));
      await eventually(() => messages.some((m) => m.attached));
      return { worker, messages };
    }

    it("takes appends from all of them at once, each in its order", async () => {
      const log = await open({}, [definition(single, { partitioning: "single" })]);
      const threads = await Promise.all(["a", "b", "c"].map((name) => attach(name)));
      for (const { worker } of threads) worker.postMessage({ append: { topic: single, count: 200 } });
      await Promise.all(Array.from({ length: 200 }, (_, n) => log.append([text(single, "main", `main ${n}`)])));
      await eventually(() => threads.every(({ messages }) => messages.some((m) => m.appended === 200)));
      const records = await readAll(log, single, 0);
      expect(records.map((r) => r.offset)).toEqual(Array.from({ length: 800 }, (_, n) => n));
      for (const name of ["a", "b", "c", "main"]) {
        const own = records.filter((r) => r.key?.toString() === name).map(textOf);
        expect(own).toEqual(Array.from({ length: 200 }, (_, n) => `${name} ${n}`));
      }
      for (const thread of threads) await stopped(thread);
    });

    it("wakes a member in another thread, takes its partitions while that stands still, and shares them again after", async () => {
      const session_ms = 1_000;
      const log = await open({ session_ms });
      const other = await attach("other", session_ms);
      other.worker.postMessage({ follow: { topic: keyed, group: "g" } });
      await eventually(() => other.messages.filter((m) => m.event?.kind === "assigned").length === contract_partitions);

      const appended_at = Date.now();
      await log.append([text(keyed, "a", "wake up")]);
      await eventually(() => other.messages.some((m) => m.event?.texts.includes("wake up")));
      const woken = other.messages.find((m) => m.event?.texts.includes("wake up"));
      expect((woken?.event?.at ?? 0) - appended_at).toBeLessThan(200);

      const held = new Set<number>();
      const source = await log.source({ group: "g", topics: [keyed], from: "earliest", batch_records_max: 10 });
      const followUntil = async (reached: () => boolean) => {
        const deadline = performance.now() + 15_000;
        while (!reached()) {
          if (performance.now() > deadline) throw new Error("not reached in 15 s");
          const event = await source.next(50);
          if (event.kind === "assigned") held.add(event.partition);
          if (event.kind === "revoked") held.delete(event.partition);
        }
      };
      await followUntil(() => held.size === 2);
      other.worker.postMessage({ block_ms: 4 * session_ms });
      await followUntil(() => held.size === contract_partitions);
      await followUntil(() => held.size < contract_partitions);
      await followUntil(() => held.size === 2);
      await stopped(other);
      await followUntil(() => held.size === contract_partitions);
    });
  });

  describe("retention", () => {
    const hour = 3_600_000;
    const base = Date.now();
    const brief = definition(keyed, { retention_ms: hour });

    it("drops what is older than its topic keeps, and moves the earliest offset", async () => {
      const log = await open({}, [brief]);
      const at = (age_ms: number) => ({ ...text(keyed, "k", String(age_ms)), partition: 0, timestamp: base - age_ms });
      await log.append([at(3 * hour), at(2 * hour), at(hour / 2), at(0)]);
      expect(await log.applyRetention(base)).toBe(2);
      expect(await log.bounds(keyed, 0)).toEqual({ earliest: 2, end: 4 });
      expect((await log.read(keyed, 0, 0, 10)).map((r) => r.offset)).toEqual([2, 3]);
      expect(await log.applyRetention(base + 2 * hour)).toBe(2);
      expect(await log.bounds(keyed, 0)).toEqual({ earliest: 4, end: 4 });
    });

    it("isn't held up by a record that says to be from the future", async () => {
      const log = await open({}, [brief]);
      const at = (age_ms: number) => ({ ...text(keyed, "k", String(age_ms)), partition: 0, timestamp: base - age_ms });
      await log.append([at(-100 * hour), at(2 * hour), at(0)]);
      expect(await log.applyRetention(base)).toBe(1);
      expect((await log.read(keyed, 0, 0, 10)).map((r) => r.offset)).toEqual([0, 2]);
    });

    it("keeps what a group that commits has not passed", async () => {
      const log = await open({}, [brief]);
      const source = await log.source({ group: "g", topics: [keyed], from: "earliest", batch_records_max: 10 });
      const [assigned] = await assignments(source, contract_partitions);
      await log.append([1, 2, 3].map((n) => ({ ...text(keyed, "k", String(n)), partition: 0, timestamp: base - 2 * hour })));
      await source.commit({ topic: keyed, partition: 0, offset: 1 }, assigned?.generation ?? -1, "");
      expect(await log.applyRetention(base)).toBe(1);
      expect(await log.bounds(keyed, 0)).toEqual({ earliest: 1, end: 3 });
    });

    it("keeps a superseded record of a topic that stages read until every group has passed it", async () => {
      const log = await open({}, [definition(compacted, { cleanup: "compact_and_time", retention_ms: 1_000 * hour })]);
      const source = await log.source({ group: "g", topics: [compacted], from: "earliest", batch_records_max: 10 });
      const [assigned] = await assignments(source, contract_partitions);
      const commit = (offset: number) =>
        source.commit({ topic: compacted, partition: 0, offset }, assigned?.generation ?? -1, "");
      await log.append(["1", "2", "3"].map((value) => ({ ...text(compacted, "a", value), partition: 0 })));
      const later = Date.now() + 2 * tombstone_min_ms;
      await commit(0);
      expect(await log.applyRetention(later)).toBe(0);
      expect((await log.read(compacted, 0, 0, 10)).map((r) => r.offset)).toEqual([0, 1, 2]);
      await commit(3);
      expect(await log.applyRetention(later)).toBe(2);
      expect((await log.read(compacted, 0, 0, 10)).map((r) => r.offset)).toEqual([2]);
    });

    it("drops a tombstone once it is old and every group has passed it", async () => {
      const log = await open({}, [definition(compacted, { cleanup: "compact", retention_ms: undefined })]);
      const source = await log.source({ group: "g", topics: [compacted], from: "earliest", batch_records_max: 10 });
      const [assigned] = await assignments(source, contract_partitions);
      const commit = (offset: number) =>
        source.commit({ topic: compacted, partition: 0, offset }, assigned?.generation ?? -1, "");
      await log.append([{ ...text(compacted, "a", "1"), partition: 0 }]);
      await log.append([{ topic: compacted, key: "a", value: null, partition: 0 }]);
      await commit(1);
      expect(await log.applyRetention(Date.now() + tombstone_min_ms / 2)).toBe(0);
      expect(await log.applyRetention(Date.now() + 2 * tombstone_min_ms)).toBe(0);
      await commit(2);
      expect(await log.applyRetention(Date.now() + 2 * tombstone_min_ms)).toBe(1);
      expect(await readAll(log, compacted, 0)).toEqual([]);
      await log.append([{ ...text(compacted, "a", "2"), partition: 0 }]);
      expect((await readAll(log, compacted, 0)).map(textOf)).toEqual(["2"]);
    });

    it("keeps the file from growing under a steady load", async () => {
      const log = await open({}, [brief, definition(compacted, { cleanup: "compact", retention_ms: undefined })]);
      const sizes: number[] = [];
      for (let round = 0; round < 60; round++) {
        const timestamp = base + round * (hour / 4);
        const record = (n: number) => ({
          topic: keyed,
          key: `host-${n % 50}`,
          value: Buffer.alloc(n % 2 ? 1_200 : 12_000, round),
          timestamp,
        });
        await log.append(Array.from({ length: 60 }, (_, n) => record(n)));
        await log.append(
          Array.from({ length: 20 }, (_, n) => ({ topic: compacted, key: `k-${n}`, value: Buffer.alloc(9_000, round) })),
        );
        await log.applyRetention(timestamp);
        sizes.push(log.usage().file_bytes);
      }
      expect(sizes[59]).toBeLessThan((sizes[19] ?? 0) * 1.2);
      expect(log.usage().records_bytes).toBeLessThan(log.usage().file_bytes);
    });
  });

  describe("full", () => {
    const max_bytes = 4_194_304;
    const brief = definition(keyed, { retention_ms: 1_000 });
    const batch = (topic: string) =>
      Array.from({ length: 10 }, (_, n) => ({ topic, key: `k-${n}`, value: Buffer.alloc(10_000, 1) }));

    async function fill(log: EmbeddedLog, topic: string): Promise<number> {
      for (let appended = 0; ; appended += 10) {
        try {
          await log.append(batch(topic));
        } catch (error) {
          expect(error).toBeInstanceOf(LogFullError);
          expect((error as Error).message).toContain(`ASSAY_LOG_MAX_BYTES=${max_bytes}`);
          return appended;
        }
      }
    }

    it("refuses an append whole, stays below its limit, and takes appends again once retention has made room", async () => {
      const log = await open({ max_bytes }, [brief]);
      const appended = await fill(log, keyed);
      let kept = 0;
      for (let partition = 0; partition < contract_partitions; partition++) kept += (await readAll(log, keyed, partition)).length;
      expect(kept).toBe(appended);
      expect(log.usage().file_bytes).toBeLessThanOrEqual(max_bytes);
      await log.applyRetention(Date.now() + 10_000);
      expect(await fill(log, keyed)).toBe(appended);
      expect(log.usage().file_bytes).toBeLessThanOrEqual(max_bytes);
    });

    it("refuses telemetry while the stages can still write", async () => {
      const log = await open({ max_bytes }, [brief, topics.telemetry]);
      await fill(log, topics.telemetry.name);
      await log.append(batch(keyed));
    });

    it("still takes a tombstone and a newer record of the same size in a compacted topic", async () => {
      const log = await open({ max_bytes }, [brief, definition(compacted, { cleanup: "compact", retention_ms: undefined })]);
      await log.append(batch(compacted));
      await fill(log, keyed);
      await log.append(batch(compacted));
      await log.append([{ topic: compacted, key: "k-0", value: null }]);
    });
  });

  const mountable = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0;
  const itWithMounts = mountable ? it : it.skip;

  itWithMounts("on a full disk refuses, loses nothing and goes on (needs the right to mount a small file system)", async () => {
    const script = 'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"';
    const command = [process.execPath, join(fixtures, "filling-child.js"), directory, "test.filling"];
    const child = spawn("unshare", ["-rm", "sh", "-c", script, "sh", directory, ...command], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    const chunks: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(child, "close");
    const rounds = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>[];
    expect(rounds).toHaveLength(2);
    for (const round of rounds) {
      expect(round.error).toMatch(/^LogFullError: .*got no room from its file system/);
      expect(round.acknowledged).toBeGreaterThan(100);
      expect(round.kept).toBe(round.acknowledged);
      expect(round.dropped).toBe(round.acknowledged);
    }
  });
});

interface Message {
  readonly attached?: boolean;
  readonly stopped?: boolean;
  readonly appended?: number;
  readonly event?: { readonly kind: string; readonly partition: number; readonly texts: string[]; readonly at: number };
}

async function readAll(log: Pick<Log, "read">, topic: string, partition: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (let offset = 0; ; offset = (records.at(-1)?.offset ?? 0) + 1) {
    const more = await log.read(topic, partition, offset, 1_000);
    if (more.length === 0) return records;
    records.push(...more);
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "close");
}

async function stopped({ worker, messages }: { worker: Worker; messages: Message[] }): Promise<void> {
  worker.postMessage({ stop: true });
  await eventually(() => messages.some((m) => m.stopped));
}

async function eventually(reached: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!reached()) {
    if (performance.now() > deadline) throw new Error("not reached in 15 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
