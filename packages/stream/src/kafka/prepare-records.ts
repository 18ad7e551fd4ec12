/** Checks records of an append against the limits and their topics, and gives each its partition and time, before any is sent. */
import { type NewRecord, RecordTooLargeError } from "../log";
import { choosePartition } from "../partitioner";
import type { BatchRecord } from "./record-batch";
import type { KnownTopic } from "./topics";

/** Key and value of one record: what the embedded log takes too, and what topics' max.message.bytes leaves room for. */
export const record_bytes_max = 1_048_576;

export interface PreparedRecord extends BatchRecord {
  readonly topic: string;
  readonly partition: number;
}

export function prepareRecords(
  topicOf: (name: string) => KnownTopic,
  records: readonly NewRecord[],
  now: number,
): readonly PreparedRecord[] {
  return records.map((record) => {
    const topic = topicOf(record.topic);
    const key = typeof record.key === "string" ? Buffer.from(record.key, "utf8") : record.key;
    checkRecord(topic, record.topic, key, record.value);
    const partition = choosePartition(record, key, topic.partitions);
    return { topic: record.topic, partition, key, value: record.value, timestamp: Math.round(record.timestamp ?? now) };
  });
}

function checkRecord(topic: KnownTopic, name: string, key: Buffer | null, value: Buffer | null): void {
  const bytes = (key?.length ?? 0) + (value?.length ?? 0);
  if (bytes > record_bytes_max) {
    throw new RecordTooLargeError(`a record of ${bytes} bytes for ${name}; at most ${record_bytes_max} bytes`);
  }
  if (topic.cleanup === "time" && value === null) {
    throw new Error(`a record without a value for ${name}, which isn't compacted`);
  }
  if (topic.cleanup !== "time" && topic.cleanup !== undefined && (key?.length ?? 0) === 0) {
    throw new Error(`a record without a key for ${name}, which is compacted by key`);
  }
}
