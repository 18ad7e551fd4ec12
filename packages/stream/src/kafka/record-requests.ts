/** The two requests that carry records: of our own, because kafkajs' encode and decode the records too, and tell only the first error. */
import { errorOfCode, type OwnRequest, read_uncommitted } from "./kafkajs";
import { WireReader, WireWriter } from "./wire";

/** How long the broker may wait for in-sync replicas. */
const replication_ms = 20_000;

export interface FetchPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Fetched extends FetchPlace {
  readonly error_code: number;
  /** -1 where the broker doesn't say. */
  readonly end: number;
  readonly bytes: Buffer;
}

export interface FetchLimits {
  readonly wait_ms: number;
  readonly bytes_max: number;
  readonly partition_bytes_max: number;
}

export interface ProduceBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface Produced {
  readonly topic: string;
  readonly partition: number;
  readonly error_code: number;
  readonly base_offset: number;
}

export function fetchRequest(places: readonly FetchPlace[], limits: FetchLimits): OwnRequest<readonly Omit<Fetched, "offset">[]> {
  return {
    api: { key: 1, name: "Fetch", version: 11 },
    wait_ms: limits.wait_ms,
    encode: () => encodeFetch(places, limits),
    decode: decodeFetched,
  };
}

/** acks: all in-sync replicas. */
export function produceRequest(batches: readonly ProduceBatch[]): OwnRequest<readonly Produced[]> {
  return {
    api: { key: 0, name: "Produce", version: 7 },
    wait_ms: replication_ms,
    encode: () => encodeProduce(batches),
    decode: decodeProduced,
  };
}

function encodeFetch(places: readonly FetchPlace[], limits: FetchLimits): Buffer {
  const writer = new WireWriter()
    .int32(-1) // replica: a client
    .int32(limits.wait_ms)
    .int32(1) // bytes, at least, before the wait is over
    .int32(limits.bytes_max)
    .raw(Buffer.from([read_uncommitted]))
    .int32(0) // no session
    .int32(-1);
  return writer
    .array(byTopic(places), ({ topic, items }) => {
      writer.string(topic).array(items, ({ partition, offset }) => {
        writer.int32(partition).int32(-1).raw(int64(offset)).raw(int64(-1)).int32(limits.partition_bytes_max);
      });
    })
    .int32(0) // forgotten topics
    .string("") // rack
    .finish();
}

function decodeFetched(bytes: Buffer): readonly Omit<Fetched, "offset">[] {
  const reader = new WireReader(bytes);
  reader.int32(); // throttle
  const error_code = reader.int16();
  if (error_code !== 0) throw errorOfCode(error_code);
  reader.int32(); // session
  const answers = reader.array(() => {
    const topic = reader.string() ?? "";
    return reader.array(() => {
      const partition = reader.int32();
      const code = reader.int16();
      const end = reader.int64();
      reader.int64(); // last stable offset
      reader.int64(); // start
      reader.array(() => reader.slice(16)); // aborted transactions
      reader.int32(); // preferred replica
      return { topic, partition, error_code: code, end, bytes: reader.bytes32() };
    });
  });
  return answers.flat();
}

function encodeProduce(batches: readonly ProduceBatch[]): Buffer {
  const writer = new WireWriter()
    .string(null) // transaction
    .int16(-1) // acks: all
    .int32(replication_ms);
  return writer
    .array(byTopic(batches), ({ topic, items }) => {
      writer.string(topic).array(items, ({ partition, bytes }) => {
        writer.int32(partition).int32(bytes.length).raw(bytes);
      });
    })
    .finish();
}

function decodeProduced(bytes: Buffer): readonly Produced[] {
  const reader = new WireReader(bytes);
  const answers = reader.array(() => {
    const topic = reader.string() ?? "";
    return reader.array(() => {
      const partition = reader.int32();
      const error_code = reader.int16();
      const base_offset = reader.int64();
      reader.int64(); // append time
      reader.int64(); // start
      return { topic, partition, error_code, base_offset };
    });
  });
  return answers.flat();
}

function byTopic<T extends { readonly topic: string }>(items: readonly T[]): { topic: string; items: T[] }[] {
  const grouped = new Map<string, T[]>();
  for (const item of items) {
    const same = grouped.get(item.topic);
    if (same) same.push(item);
    else grouped.set(item.topic, [item]);
  }
  return [...grouped].map(([topic, of_topic]) => ({ topic, items: of_topic }));
}

function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
