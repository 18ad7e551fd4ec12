/**
 * A record's value as the one schema that a stage reads, under a key of its subject (host/… for inventory); anything else becomes a dead letter
 * with the record's own bytes.
 */
import type { Codec, SchemaName } from "@assay/schemas/codec";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import type { SchemaTypes } from "@assay/schemas/generated/types";
import type { LogRecord } from "@assay/stream/log";
import type { Output } from "./outputs";

export function readRecord<N extends SchemaName>(
  codec: Codec,
  name: N,
  record: LogRecord,
  outputs: Output[],
  subjectOf: (value: SchemaTypes[N]) => string,
): SchemaTypes[N] | undefined {
  if (record.value === null) return undefined; // compaction's tombstone
  const decoded = codec.decode(record.value);
  if (decoded.name === name) {
    const value = decoded.value as SchemaTypes[N];
    const key = record.key?.toString() ?? "";
    const subject = subjectOf(value);
    if (key === subject || key.startsWith(`${subject}/`)) return value;
    // It may stand in another partition than the rest of its subject, where nothing is known of that.
    outputs.push(deadLetter(record, "wrong_host", `a record of ${subject} under the key ${key}`, key));
    return undefined;
  }
  if (decoded.name === "undecodable") outputs.push(deadLetter(record, decoded.reason, decoded.detail, ""));
  else outputs.push(deadLetter(record, "unexpected_schema", `${decoded.name} where ${name} is expected`, ""));
  return undefined;
}

export function deadLetter(record: LogRecord, reason: DeadLetterReason, detail: string, host_id: string): Output {
  return {
    kind: "dead_letter",
    letter: {
      reason,
      detail,
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      host_id,
      key: record.key,
      value: record.value,
      record_timestamp: record.timestamp,
    },
  };
}
