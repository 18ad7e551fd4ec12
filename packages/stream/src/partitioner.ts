/**
 * The one partitioner: the choice that Kafka's default partitioner makes for a key, so that a key's records keep their partition
 * whichever adapter wrote them.
 */
import type { NewRecord } from "./log";

export function partitionOfKey(key: Buffer | string, partitions: number): number {
  return (murmur2(typeof key === "string" ? Buffer.from(key, "utf8") : key) & 0x7fffffff) % partitions;
}

/** The partition that a new record goes to: the one it names, else by its partition key, else by its key. */
export function choosePartition(record: NewRecord, key: Buffer | null, partitions: number): number {
  const { topic, partition, partition_key } = record;
  if (partition !== undefined) {
    if (!Number.isInteger(partition) || partition < 0 || partition >= partitions) {
      throw new Error(`partition ${partition} of ${topic}, which has ${partitions}`);
    }
    return partition;
  }
  const chosen_by = partition_key ?? key;
  return chosen_by === null ? 0 : partitionOfKey(chosen_by, partitions);
}

const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;
const rotation = 24;

/** 32-bit MurmurHash2 (Austin Appleby, public domain) with Kafka's seed, as a signed number. */
export function murmur2(bytes: Buffer): number {
  const length = bytes.length;
  let hash = seed ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(bytes.readInt32LE(at), multiplier);
    word ^= word >>> rotation;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const rest = length - at;
  if (rest > 0) {
    hash ^= bytes.readUIntLE(at, rest);
    hash = Math.imul(hash, multiplier);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  hash ^= hash >>> 15;
  return hash | 0;
}
