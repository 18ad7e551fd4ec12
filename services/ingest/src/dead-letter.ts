/** A refused record as a dead letter: its first bytes, why, and whose credential brought it. */
import type { Codec } from "@assay/schemas/codec";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import { topics } from "@assay/schemas/topics";
import type { NewRecord } from "@assay/stream/log";
import { dead_letter_bytes_max, dead_letter_detail_length_max } from "./settings";

export interface RefusedRecord {
  readonly host_id: string;
  /** Where it was meant to go. */
  readonly topic: string;
  readonly reason: DeadLetterReason;
  readonly detail: string;
  /** Null where the body was not read. */
  readonly bytes: Buffer | null;
}

export function deadLetter(codec: Codec, refused: RefusedRecord, now: number): NewRecord {
  const { bytes, host_id } = refused;
  const isCut = bytes !== null && bytes.length > dead_letter_bytes_max;
  const cut = isCut ? `; the first ${dead_letter_bytes_max} of ${bytes.length} bytes are kept` : "";
  const value = codec.encode("DeadLetter", {
    at: now,
    service: "ingest",
    reason: refused.reason,
    detail: refused.detail.slice(0, dead_letter_detail_length_max) + cut,
    topic: refused.topic,
    partition: -1,
    offset: -1,
    host_id,
    key: Buffer.from(host_id),
    value: bytes === null ? null : bytes.subarray(0, dead_letter_bytes_max),
    record_timestamp: now,
  });
  return { topic: topics.deadLetters.name, key: host_id, value, timestamp: now };
}
