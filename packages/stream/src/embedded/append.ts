/** Appends records: checked and framed before the transaction, placed and written inside it. */
import { topics } from "@assay/schemas/topics";
import { type Appended, LogFullError, type NewRecord, RecordTooLargeError } from "../log";
import { choosePartition } from "../partitioner";
import type { Environment } from "./environment";
import {
  type Frame,
  frameBytes,
  keyPlace,
  pair,
  partitionPlace,
  readPair,
  record_bytes_max,
  record_key_bytes_max,
  recordPlace,
  storedBytes,
  writeFrame,
} from "./framing";
import type { StoredTopic, TopicTable } from "./topic-table";

export interface PreparedRecord {
  readonly topic: StoredTopic;
  readonly partition: number;
  readonly key: Buffer | null;
  readonly tombstone: boolean;
  readonly frame: Buffer;
}

/** Of one call, all records together. */
export const append_bytes_max = 33_554_432;

export function prepareRecords(table: TopicTable, records: readonly NewRecord[], now: number): readonly PreparedRecord[] {
  let total = 0;
  const checked = records.map((record) => {
    const topic = table.get(record.topic);
    const key = typeof record.key === "string" ? Buffer.from(record.key, "utf8") : record.key;
    const frame: Frame = { timestamp: record.timestamp ?? now, key, value: record.value };
    checkRecord(topic, frame);
    const bytes = frameBytes(frame);
    total += bytes;
    return { topic, partition: choosePartition(record, key, topic.partitions), frame, bytes };
  });
  if (total > append_bytes_max) {
    throw new RecordTooLargeError(`${records.length} records of ${total} bytes in one append; at most ${append_bytes_max} bytes`);
  }
  const buffer = Buffer.allocUnsafeSlow(total);
  let position = 0;
  return checked.map(({ topic, partition, frame }) => {
    const end = writeFrame(buffer, position, frame);
    const prepared = { topic, partition, key: frame.key, tombstone: frame.value === null, frame: buffer.subarray(position, end) };
    position = end;
    return prepared;
  });
}

/** Inside a write transaction. */
export function writeRecords(environment: Environment, records: readonly PreparedRecord[], max_bytes: number): Appended[] {
  const heads = new Map<string, { place: Buffer; start: number; end: number }>();
  let added = 0;
  const appended = records.map((record) => {
    const head_id = `${record.topic.id}/${record.partition}`;
    let head = heads.get(head_id);
    if (!head) {
      const place = partitionPlace(record.topic.id, record.partition);
      const [start, end] = readPair(environment.heads.get(place)) ?? [0, 0];
      head = { place, start, end };
      heads.set(head_id, head);
    }
    const offset = head.end++;
    const place = recordPlace(record.topic.id, record.partition, offset);
    environment.records.put(place, record.frame);
    added += storedBytes(record.frame.length);
    if (record.topic.cleanup !== "time" && record.key) added -= supersede(environment, record, record.key, place, offset);
    return { partition: record.partition, offset };
  });
  for (const head of heads.values()) environment.heads.put(head.place, pair(head.start, head.end));
  const used = environment.usedBytes();
  const room = roomFor(records, max_bytes);
  if (added > 0 && used + added > room) {
    throw new LogFullError(
      `the log in ${environment.directory} is full: its records take ${used} bytes, ${added} more would pass the ${room} that ` +
        `${records[0]?.topic.name} may fill of ASSAY_LOG_MAX_BYTES=${max_bytes}; room comes as retention drops old records`,
    );
  }
  environment.addUsedBytes(added);
  return appended;
}

/** Of max_bytes; the rest is for what LMDB's pages leave unused. */
export const records_share = 0.75;
/** What comes from outside stops earlier, so that the stages, which make room by getting on, can still write. */
export const intake_share = 0.6;
const intake_topics: readonly string[] = [topics.telemetry.name, topics.inventory.name];

function roomFor(records: readonly PreparedRecord[], max_bytes: number): number {
  const intake = records.some((record) => intake_topics.includes(record.topic.name));
  return Math.floor(max_bytes * (intake ? intake_share : records_share));
}

/**
 * A key of a compacted topic has one record: drops the one before, and returns the bytes that it took. Topics that stages read keep it
 * until their groups have passed it (retention.ts): a block that is built again after a crash must meet the same records.
 */
function supersede(environment: Environment, record: PreparedRecord, key: Buffer, place: Buffer, offset: number): number {
  const key_place = keyPlace(record.topic.id, record.partition, key);
  const before = readPair(environment.keys.get(key_place));
  let freed = 0;
  if (before) {
    const place_before = recordPlace(record.topic.id, record.partition, before[0]);
    if (record.topic.cleanup === "compact_and_time") environment.tombstones.put(place_before, key_place);
    else {
      if (environment.records.removeSync(place_before)) freed = before[1];
      environment.tombstones.remove(place_before);
    }
  }
  environment.keys.put(key_place, pair(offset, storedBytes(record.frame.length)));
  if (record.tombstone) environment.tombstones.put(place, key_place);
  return freed;
}

function checkRecord(topic: StoredTopic, frame: Frame): void {
  const key_bytes = frame.key?.length ?? 0;
  const bytes = key_bytes + (frame.value?.length ?? 0);
  if (key_bytes > record_key_bytes_max) {
    throw new RecordTooLargeError(`a key of ${key_bytes} bytes for ${topic.name}; at most ${record_key_bytes_max} bytes`);
  }
  if (bytes > record_bytes_max) {
    throw new RecordTooLargeError(`a record of ${bytes} bytes for ${topic.name}; at most ${record_bytes_max} bytes`);
  }
  if (topic.cleanup === "time") {
    if (frame.value === null) throw new Error(`a record without a value for ${topic.name}, which isn't compacted`);
  } else if (key_bytes === 0) {
    throw new Error(`a record without a key for ${topic.name}, which is compacted by key`);
  }
}
