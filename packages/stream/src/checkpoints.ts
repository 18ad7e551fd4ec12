/**
 * The checkpoints of one partition of a stage, on assay.checkpoints, under the partition's own number.
 *
 * A checkpoint is an epoch: a chunk for each bucket that changed since the epoch before, then a manifest that names for every bucket the
 * epoch of its chunk. It counts once the stage's committed note names it. What it supersedes is tombstoned after that commit, along with
 * the next checkpoint; what a crash or a fenced member left behind goes the same way. An epoch carries its generation in its low digits,
 * so that a member that was fenced, and doesn't know it yet, can't overwrite the chunks of its successor. A new epoch is above all that
 * are found, for a group that was deleted counts its generations from the start again.
 *
 * Keys: <stage>/<partition>/<bucket>@<epoch>, with .1, .2, … for further parts of a chunk that is larger than part_bytes_max;
 * <stage>/<partition>/manifest@<epoch>.
 *
 * A log on Kafka compacts late, so a restore doesn't read the topic from its start: the commit also names the offset before which there
 * is nothing of this stage and partition that isn't dropped yet.
 */
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import type { Codec } from "@assay/schemas/codec";
import type { CheckpointManifest } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Appended, Log, NewRecord } from "./log";
import type { StateForm } from "./stage";

/** Half of what Kafka takes as one record by default. */
export const part_bytes_max = 524_288;
const append_bytes_max = 8_388_608;
const scan_records_max = 200;
const generations_per_epoch = 1_024;
/** What a fenced member may still write comes within this time after its successor's restore. */
const late_writes_ms = 900_000;
const topic = topics.checkpoints.name;

export interface CheckpointOwner<State> {
  readonly log: Pick<Log, "append" | "read" | "bounds">;
  readonly codec: Codec;
  readonly stage: string;
  readonly form: StateForm<State>;
  readonly partition: number;
  readonly generation: number;
}

/**
 * Restores the state of the epoch that the committed note names (0: none yet), to be followed by further checkpoints. scan_from: as the
 * note names it; 0 where it doesn't.
 */
export async function restoreCheckpoint<State>(
  owner: CheckpointOwner<State>,
  epoch: number,
  scan_from = 0,
): Promise<{ readonly state: State; readonly checkpoint: Checkpoint<State> }> {
  const { codec, form, partition } = owner;
  const { found, end } = await scan(owner, scan_from);
  const offsets = new Map([...found].map(([key, { offset }]) => [key, offset]));
  const epoch_max = Math.max(epoch, ...epochsOf(found.keys()));
  if (epoch === 0) {
    const state = form.empty(partition);
    Array.from(form.takeDirty(state));
    return { state, checkpoint: new Checkpoint(owner, 0, epoch_max, [], [...found.keys()], offsets, end) };
  }
  const manifest = readManifest(owner, epoch, found.get(manifestKey(owner, epoch))?.value);
  const buckets: unknown[] = [];
  const chunks: Chunk[] = [];
  const kept = new Set([manifestKey(owner, epoch)]);
  for (let bucket = 0; bucket < form.buckets; bucket++) {
    const of_epoch = manifest.buckets[bucket] ?? 0;
    if (of_epoch === 0) continue;
    const parts: Buffer[] = [];
    for (let part = 0; ; part++) {
      const key = chunkKey(owner, bucket, of_epoch, part);
      const value = found.get(key)?.value;
      if (!value) break;
      const decoded = codec.decode(value);
      if (decoded.name !== "CheckpointChunk") throw new Error(`checkpoint chunk ${key} isn't one: ${JSON.stringify(decoded)}`);
      parts.push(decoded.value.state);
      kept.add(key);
    }
    if (parts.length === 0) throw new Error(`checkpoint chunk ${chunkKey(owner, bucket, of_epoch, 0)} is missing from ${topic}`);
    buckets[bucket] = JSON.parse((await inflated(Buffer.concat(parts))).toString("utf8"));
    chunks[bucket] = { epoch: of_epoch, parts: parts.length };
  }
  const state = form.restore(partition, buckets);
  Array.from(form.takeDirty(state));
  const leftovers = [...found.keys()].filter((key) => !kept.has(key));
  return { state, checkpoint: new Checkpoint(owner, epoch, epoch_max, chunks, leftovers, offsets, end) };
}

/** The newest checkpoint that there is, committed or not. */
export async function newestCheckpoint<State>(
  owner: CheckpointOwner<State>,
): Promise<{ readonly epoch: number; readonly position: number } | undefined> {
  const { found } = await scan(owner, 0);
  const epoch = Math.max(0, ...epochsOf([...found.keys()].filter((key) => key.includes("/manifest@"))));
  if (epoch === 0) return undefined;
  const { position } = readManifest(owner, epoch, found.get(manifestKey(owner, epoch))?.value);
  return { epoch, position };
}

interface Chunk {
  readonly epoch: number;
  readonly parts: number;
}

export class Checkpoint<State> {
  /** Superseded by what is committed: goes with the next write. */
  private dead_keys: string[] = [];
  private readonly restored_at = performance.now();

  constructor(
    private readonly owner: CheckpointOwner<State>,
    private written_epoch: number,
    /** The highest that there is or was, committed or not. */
    private epoch_max: number,
    /** By bucket; none for an empty one. */
    private chunks: (Chunk | undefined)[],
    /** Dead once the next epoch is committed, which proves that this member had the partition when it found them. */
    private dying_keys: string[],
    /** Where each key stands that isn't dropped yet. */
    private readonly offsets: Map<string, number>,
    /** The end of the topic's partition when this was restored. */
    private readonly restored_end: number,
  ) {}

  get epoch(): number {
    return this.written_epoch;
  }

  /** Before this there is nothing that the next restore must see: to be named in each commit. */
  get scan_from(): number {
    const passed = performance.now() - this.restored_at > late_writes_ms && this.offsets.size > 0;
    let from = passed ? Number.MAX_SAFE_INTEGER : this.restored_end;
    for (const offset of this.offsets.values()) from = Math.min(from, offset);
    return from;
  }

  /** Writes what changed, under a new epoch; returns the epoch to name in the commit. */
  async write(state: State, position: number): Promise<number> {
    const { owner } = this;
    const dirty = [...owner.form.takeDirty(state)];
    if (dirty.length === 0) return this.written_epoch;
    const before = this.written_epoch;
    const epoch = nextEpoch(this.epoch_max, owner.generation);
    const records: NewRecord[] = this.dead_keys.map((key) => this.record(key, null));
    const chunks = [...this.chunks];
    for (const bucket of new Set(dirty)) {
      if (bucket < 0 || bucket >= owner.form.buckets) {
        throw new Error(`stage ${owner.stage} says that bucket ${bucket} changed; it has ${owner.form.buckets}`);
      }
      this.dying_keys.push(...chunkKeys(owner, bucket, chunks[bucket]));
      chunks[bucket] = await this.writeChunk(bucket, epoch, owner.form.snapshot(state, bucket), records);
    }
    if (before !== 0) this.dying_keys.push(manifestKey(owner, before));
    records.push(this.record(manifestKey(owner, epoch), this.manifest(epoch, position, chunks)));
    const appended = await appendInOrder(owner.log, records);
    for (const [at, { key, value }] of records.entries()) {
      const offset = appended[at]?.offset;
      if (value === null) this.offsets.delete(String(key));
      else if (offset !== undefined) this.offsets.set(String(key), offset);
    }
    this.dead_keys = [];
    this.chunks = chunks;
    this.written_epoch = epoch;
    this.epoch_max = epoch;
    return epoch;
  }

  /** The epoch last written is committed. */
  committed(): void {
    this.dead_keys.push(...this.dying_keys);
    this.dying_keys = [];
  }

  private async writeChunk(bucket: number, epoch: number, value: unknown, records: NewRecord[]): Promise<Chunk | undefined> {
    if (value === undefined) return undefined;
    const { codec, stage, partition } = this.owner;
    const bytes = await deflated(Buffer.from(JSON.stringify(value), "utf8"), { level: 1 });
    let parts = 0;
    for (let at = 0; at < bytes.length; at += part_bytes_max) {
      const part = { stage, partition, epoch, bucket, state: bytes.subarray(at, at + part_bytes_max) };
      records.push(this.record(chunkKey(this.owner, bucket, epoch, parts++), codec.encode("CheckpointChunk", part)));
    }
    return { epoch, parts };
  }

  private manifest(epoch: number, position: number, chunks: readonly (Chunk | undefined)[]): Buffer {
    const { codec, stage, partition, form } = this.owner;
    const buckets = Array.from({ length: form.buckets }, (_, bucket) => chunks[bucket]?.epoch ?? 0);
    return codec.encode("CheckpointManifest", { stage, partition, epoch, position, version: form.version, buckets });
  }

  private record(key: string, value: Buffer | null): NewRecord {
    return { topic, partition: this.owner.partition, key, value };
  }
}

interface Named {
  readonly stage: string;
  readonly partition: number;
}

const deflated = promisify<Buffer, { level: number }, Buffer>(deflate);
const inflated = promisify<Buffer, Buffer>(inflate);

function nextEpoch(epoch: number, generation: number): number {
  return (Math.floor(epoch / generations_per_epoch) + 1) * generations_per_epoch + (generation % generations_per_epoch);
}

function chunkKey(named: Named, bucket: number, epoch: number, part: number): string {
  return `${named.stage}/${named.partition}/${bucket}@${epoch}${part === 0 ? "" : `.${part}`}`;
}

function chunkKeys(named: Named, bucket: number, chunk: Chunk | undefined): string[] {
  return Array.from({ length: chunk?.parts ?? 0 }, (_, part) => chunkKey(named, bucket, chunk?.epoch ?? 0, part));
}

function manifestKey(named: Named, epoch: number): string {
  return `${named.stage}/${named.partition}/manifest@${epoch}`;
}

function epochsOf(keys: Iterable<string>): number[] {
  return [...keys].map((key) => Number(/@(\d+)(\.\d+)?$/.exec(key)?.[1] ?? 0));
}

interface Found {
  readonly offset: number;
  readonly value: Buffer;
}

/** What is there of this stage and partition, by key, and where the topic's partition ends. */
async function scan<State>(
  owner: CheckpointOwner<State>,
  scan_from: number,
): Promise<{ readonly found: ReadonlyMap<string, Found>; readonly end: number }> {
  const prefix = `${owner.stage}/${owner.partition}/`;
  const found = new Map<string, Found>();
  const { earliest } = await owner.log.bounds(topic, owner.partition);
  let offset = Math.max(earliest, scan_from);
  for (;;) {
    const records = await owner.log.read(topic, owner.partition, offset, scan_records_max);
    const last = records.at(-1);
    if (!last) return { found, end: offset };
    offset = last.offset + 1;
    for (const { key, value, offset: at } of records) {
      const name = key?.toString("utf8") ?? "";
      if (!name.startsWith(prefix)) continue;
      if (value === null) found.delete(name);
      else found.set(name, { offset: at, value });
    }
  }
}

function readManifest<State>(owner: CheckpointOwner<State>, epoch: number, value: Buffer | undefined): CheckpointManifest {
  const what = `checkpoint ${epoch} of stage ${owner.stage}, partition ${owner.partition}`;
  if (!value) throw new Error(`${what} is committed but its manifest is missing from ${topic}`);
  const decoded = owner.codec.decode(value);
  if (decoded.name !== "CheckpointManifest") throw new Error(`${what}: its manifest isn't one: ${JSON.stringify(decoded)}`);
  const manifest = decoded.value;
  if (manifest.version !== owner.form.version || manifest.buckets.length !== owner.form.buckets) {
    throw new Error(
      `${what} is of form ${manifest.version} with ${manifest.buckets.length} buckets; this release reads form ${owner.form.version} ` +
        `with ${owner.form.buckets}. Run the release that wrote it, or start with an empty log`,
    );
  }
  return manifest;
}

/** In several appends where one would be too large; the last record is durable last. */
async function appendInOrder(log: Pick<Log, "append">, records: readonly NewRecord[]): Promise<readonly Appended[]> {
  const appended: Appended[] = [];
  let together: NewRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = record.value?.length ?? 0;
    if (bytes + size > append_bytes_max) {
      appended.push(...(await log.append(together)));
      together = [];
      bytes = 0;
    }
    together.push(record);
    bytes += size;
  }
  appended.push(...(await log.append(together)));
  return appended;
}
