/** A record that the correlator could not use, with its own bytes, or the first of them. */
import type { Codec, Decoded } from "@assay/schemas/codec";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import { topics } from "@assay/schemas/topics";
import type { LogRecord, NewRecord } from "@assay/stream/log";

/** Of a record's own value: what the log took once fits in again, with the rest of a dead letter. */
const value_bytes_max = 512 * 1024;

export function deadLetter(codec: Codec, record: LogRecord, reason: DeadLetterReason, detail: string): NewRecord {
  const bytes = record.value;
  const isCut = bytes !== null && bytes.length > value_bytes_max;
  const value = codec.encode("DeadLetter", {
    at: record.timestamp,
    service: "correlator",
    reason,
    detail: isCut ? `${detail}; the first ${value_bytes_max} of ${bytes?.length} bytes are kept` : detail,
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    host_id: record.key?.toString() ?? "",
    key: record.key,
    value: bytes?.subarray(0, value_bytes_max) ?? null,
    record_timestamp: record.timestamp,
  });
  return { topic: topics.deadLetters.name, key: record.key, value };
}

/** Of a record that is another thing than its topic is for. */
export function unexpected(codec: Codec, record: LogRecord, decoded: Decoded): NewRecord {
  if (decoded.name === "undecodable") return deadLetter(codec, record, decoded.reason, decoded.detail);
  return deadLetter(codec, record, "unexpected_schema", `${decoded.name} on ${record.topic}`);
}
