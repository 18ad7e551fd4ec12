import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { type CheckpointOwner, newestCheckpoint, part_bytes_max, restoreCheckpoint } from "@assay/stream/checkpoints";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";
import type { StateForm } from "@assay/stream/stage";
import { seeded } from "./counting-stage";

/** Bucket n holds entry n. */
interface Entries {
  readonly values: (string | undefined)[];
  readonly dirty: Set<number>;
}

const form: StateForm<Entries> = {
  version: 3,
  buckets: 4,
  empty: () => ({ values: [], dirty: new Set() }),
  restore: (_partition, buckets) => ({ values: buckets.map((b) => b as string | undefined), dirty: new Set([0, 1, 2, 3]) }),
  takeDirty(state) {
    const dirty = [...state.dirty];
    state.dirty.clear();
    return dirty;
  },
  snapshot: (state, bucket) => state.values[bucket],
};

function withoutHoles(values: Entries["values"]): (string | null)[] {
  return Array.from({ length: 4 }, (_, bucket) => values[bucket] ?? null);
}

describe("checkpoints", () => {
  const topic = topics.checkpoints.name;
  const partition = 1;
  const codec = new Codec(folderIds());
  let directory: string;
  let log: EmbeddedLog;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "assay-checkpoints-"));
    log = await openEmbeddedLog({ directory, partitions: 2 });
    await log.ensureTopics([topics.checkpoints]);
  });
  afterEach(async () => {
    await log.close();
    rmSync(directory, { recursive: true });
  });

  function owner(generation = 1, changes: Partial<CheckpointOwner<Entries>> = {}): CheckpointOwner<Entries> {
    return { log, codec, stage: "s", form, partition, generation, ...changes };
  }

  function change(state: Entries, values: Record<number, string | undefined>): void {
    for (const [bucket, value] of Object.entries(values)) {
      state.values[Number(bucket)] = value;
      state.dirty.add(Number(bucket));
    }
  }

  /** Keys with a value, in order; * for a tombstone. */
  async function keys(): Promise<string[]> {
    const records = await log.read(topic, partition, 0, 1_000);
    return records.map((r) => `${r.key}${r.value === null ? "*" : ""}`);
  }

  it("restore what was written, into the same buckets, with nothing marked as changed", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(), 0);
    change(state, { 0: "a", 2: "né" });
    const epoch = await checkpoint.write(state, 10);
    const restored = await restoreCheckpoint(owner(2), epoch);
    expect(restored.state.values).toEqual(["a", undefined, "né"]);
    expect(restored.state.dirty.size).toBe(0);
    expect(await restored.checkpoint.write(restored.state, 11)).toBe(epoch);
    expect(await keys()).toHaveLength(3);
  });

  it("write only the buckets that changed, and drop what they supersede with the write after the commit", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(1), 0);
    change(state, { 0: "a", 1: "b" });
    const first = await checkpoint.write(state, 10);
    checkpoint.committed();
    change(state, { 1: "b2" });
    const second = await checkpoint.write(state, 20);
    expect(await keys()).toEqual([
      `s/1/0@${first}`,
      `s/1/1@${first}`,
      `s/1/manifest@${first}`,
      `s/1/1@${second}`,
      `s/1/manifest@${second}`,
    ]);
    checkpoint.committed();
    change(state, { 0: undefined });
    const third = await checkpoint.write(state, 30);
    expect(await keys()).toEqual([
      `s/1/0@${first}`,
      `s/1/1@${second}`,
      `s/1/manifest@${second}`,
      `s/1/1@${first}*`,
      `s/1/manifest@${first}*`,
      `s/1/manifest@${third}`,
    ]);
    expect((await restoreCheckpoint(owner(2), second)).state.values).toEqual(["a", "b2"]);
    expect((await restoreCheckpoint(owner(2), third)).state.values).toEqual([undefined, "b2"]);
  });

  it("leave the committed epoch whole when the next one was written and never committed, and drop that later", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(1), 0);
    change(state, { 0: "a", 3: "d" });
    const committed = await checkpoint.write(state, 10);
    checkpoint.committed();
    change(state, { 0: "lost" });
    const lost = await checkpoint.write(state, 20);

    const again = await restoreCheckpoint(owner(2), committed);
    expect(again.state.values).toEqual(["a", undefined, undefined, "d"]);
    change(again.state, { 0: "a2" });
    const next = await again.checkpoint.write(again.state, 20);
    expect(next).not.toBe(lost);
    expect(await keys()).toContain(`s/1/0@${lost}`); // until the commit proves that the partition is ours
    again.checkpoint.committed();
    change(again.state, { 1: "b" });
    const last = await again.checkpoint.write(again.state, 30);
    const live = (await keys()).filter((key) => !key.endsWith("*")).sort();
    expect(live).toEqual(
      [`s/1/0@${next}`, `s/1/1@${last}`, `s/1/3@${committed}`, `s/1/manifest@${last}`, `s/1/manifest@${next}`].sort(),
    );
  });

  it("say where the next restore begins to read, which moves on and leaves nothing behind", async () => {
    const random = seeded(5);
    let generation = 1;
    let committed = { epoch: 0, scan_from: 0, values: [] as Entries["values"] };
    let current = await restoreCheckpoint(owner(generation), 0);
    for (let step = 0; step < 60; step++) {
      change(current.state, { [Math.floor(random() * 4)]: random() < 0.2 ? undefined : `${step}` });
      const epoch = await current.checkpoint.write(current.state, step);
      if (random() < 0.7) {
        current.checkpoint.committed();
        committed = { epoch, scan_from: current.checkpoint.scan_from, values: [...current.state.values] };
      }
      if (random() < 0.3) {
        current = await restoreCheckpoint(owner(++generation), committed.epoch, committed.scan_from);
        expect(withoutHoles(current.state.values)).toEqual(withoutHoles(committed.values));
      }
    }
    const last = await restoreCheckpoint(owner(++generation), committed.epoch, committed.scan_from);
    for (let write = 0; write < 2; write++) {
      change(last.state, { 0: "a", 1: "b", 2: "c", 3: `d ${write}` });
      await last.checkpoint.write(last.state, 100);
      last.checkpoint.committed();
    }
    change(last.state, { 0: "end" });
    const epoch = await last.checkpoint.write(last.state, 101);
    const records = await log.read(topic, partition, 0, 1_000);
    const live = records.filter(({ value }) => value !== null);
    const superseded = ["s/1/0@", "s/1/manifest@"]; // by the last write, which isn't committed
    expect(live.map(({ key }) => String(key).replace(/@.*/, "@")).sort()).toEqual(
      ["s/1/0@", "s/1/1@", "s/1/2@", "s/1/3@", "s/1/manifest@", ...superseded].sort(),
    );
    expect(last.checkpoint.scan_from).toBeLessThanOrEqual(live[0]?.offset ?? -1);
    expect(last.checkpoint.scan_from).toBeGreaterThan(records.length / 2);
    expect((await restoreCheckpoint(owner(++generation), epoch, last.checkpoint.scan_from)).state.values[0]).toBe("end");
  });

  it("aren't read from before the place that the commit names", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(1), 0);
    change(state, { 0: "a" });
    const epoch = await checkpoint.write(state, 10);
    checkpoint.committed();
    const read_from: number[] = [];
    const watched: CheckpointOwner<Entries>["log"] = {
      append: (records) => log.append(records),
      bounds: (name, of) => log.bounds(name, of),
      read(name, of, offset, max) {
        read_from.push(offset);
        return log.read(name, of, offset, max);
      },
    };
    for (let n = 0; n < 3; n++) await log.append([{ topic, partition, key: `other ${n}`, value: Buffer.from("x") }]);
    const again = await restoreCheckpoint(owner(2), epoch);
    change(again.state, { 0: "b" });
    const next = await again.checkpoint.write(again.state, 20);
    again.checkpoint.committed();
    const scan_from = again.checkpoint.scan_from;
    expect(scan_from).toBe(0); // what is superseded is dropped with the next write
    change(again.state, { 0: "c" });
    const last = await again.checkpoint.write(again.state, 30);
    again.checkpoint.committed();
    expect(last).toBeGreaterThan(next);
    expect(again.checkpoint.scan_from).toBe(5);
    await restoreCheckpoint(owner(3, { log: watched }), last, again.checkpoint.scan_from);
    expect(Math.min(...read_from)).toBe(5);
  });

  it("aren't disturbed by a member that was fenced and writes late", async () => {
    const old = await restoreCheckpoint(owner(1), 0);
    const young = await restoreCheckpoint(owner(2), 0);
    change(young.state, { 0: "young" });
    const epoch = await young.checkpoint.write(young.state, 10);
    change(old.state, { 0: "old" });
    expect(await old.checkpoint.write(old.state, 10)).not.toBe(epoch);
    expect((await restoreCheckpoint(owner(3), epoch)).state.values).toEqual(["young"]);
  });

  it("begin above all that are there, in a group that counts its generations anew", async () => {
    const before = await restoreCheckpoint(owner(1), 0);
    change(before.state, { 0: "a", 1: "b" });
    const old = await before.checkpoint.write(before.state, 10);
    expect(await newestCheckpoint(owner(1))).toEqual({ epoch: old, position: 10 });
    const anew = await restoreCheckpoint(owner(1), 0);
    change(anew.state, { 0: "c" });
    const first = await anew.checkpoint.write(anew.state, 20);
    expect(first).toBeGreaterThan(old);
    anew.checkpoint.committed();
    change(anew.state, { 1: "d" });
    const second = await anew.checkpoint.write(anew.state, 30);
    anew.checkpoint.committed();
    expect((await restoreCheckpoint(owner(2), second)).state.values).toEqual(["c", "d"]);
    expect(await newestCheckpoint(owner(2))).toEqual({ epoch: second, position: 30 });
    expect(await newestCheckpoint(owner(2, { stage: "other" }))).toBeUndefined();
  });

  it("split a bucket that is larger than a record may be", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(1), 0);
    const large = randomBytes(2 * part_bytes_max).toString("base64");
    change(state, { 0: large, 1: "small" });
    const first = await checkpoint.write(state, 10);
    checkpoint.committed();
    expect((await keys()).filter((key) => key.startsWith(`s/1/0@${first}`)).length).toBeGreaterThan(2);
    expect((await restoreCheckpoint(owner(2), first)).state.values).toEqual([large, "small"]);
    change(state, { 0: "shrunk" });
    await checkpoint.write(state, 20);
    checkpoint.committed();
    change(state, { 1: "x" });
    const last = await checkpoint.write(state, 30);
    expect((await keys()).filter((key) => key.startsWith(`s/1/0@${first}`)).every((key) => key.endsWith("*"))).toBe(true);
    expect((await restoreCheckpoint(owner(2), last)).state.values).toEqual(["shrunk", "x"]);
  });

  it("of other stages and partitions stay apart", async () => {
    for (const [stage, of_partition] of [
      ["s", 0],
      ["s2", 1],
      ["s", 1],
    ] as const) {
      const own = owner(1, { stage, partition: of_partition });
      const { state, checkpoint } = await restoreCheckpoint(own, 0);
      change(state, { 0: `${stage} ${of_partition}` });
      const epoch = await checkpoint.write(state, 10);
      checkpoint.committed();
      expect((await restoreCheckpoint(own, epoch)).state.values).toEqual([`${stage} ${of_partition}`]);
    }
    expect((await keys()).filter((key) => key.endsWith("*"))).toEqual([]);
  });

  it("of another form, and ones that are missing, are refused with what they are", async () => {
    const { state, checkpoint } = await restoreCheckpoint(owner(1), 0);
    change(state, { 0: "a" });
    const epoch = await checkpoint.write(state, 10);
    const newer = owner(2, { form: { ...form, version: 4 } });
    await expect(restoreCheckpoint(newer, epoch)).rejects.toThrow(
      /stage s, partition 1 is of form 3 .* this release reads form 4/,
    );
    await expect(restoreCheckpoint(owner(2), epoch + 1)).rejects.toThrow(
      /is committed but its manifest is missing from assay.checkpoints/,
    );
    await log.append([{ topic, partition, key: `s/1/0@${epoch}`, value: null }]);
    await expect(restoreCheckpoint(owner(2), epoch)).rejects.toThrow(/chunk s\/1\/0@\d+ is missing/);
  });
});
