/**
 * What a dead letter is replayed as: its bytes, under its key, to its topic, judged again first. What would only be refused again stays where
 * it is.
 *
 * Telemetry and inventory keep the time at which they were accepted, by which an agent's clock is judged: a batch that is replayed hours
 * later has the event times that it would have had. So what is older than its topic keeps can't be replayed: the log would drop it.
 */
import { RecordParser } from "@assay/ingest/parse-record";
import type { Codec } from "@assay/schemas/codec";
import { allTopics, topics } from "@assay/schemas/topics";
import type { NewRecord } from "@assay/stream/log";
import type { StandingLetter } from "./letter";
import { replayMark } from "./replay-mark";

export type Judged =
  /** The record, and the mark that it was replayed. */
  { readonly records: readonly [NewRecord, NewRecord] } | { readonly not: string };

export interface IngestLimits {
  readonly events_max: number;
  readonly text_bytes_max: number;
}

/** What must be left of a topic's retention, for stages that are behind. */
const retention_margin_ms = 3_600_000;

export function judge(found: StandingLetter, codec: Codec, limits: IngestLimits, now: number): Judged {
  const { id, letter, replayed_at } = found;
  if (replayed_at !== undefined) return { not: `it was replayed already, at ${new Date(replayed_at).toISOString()}` };
  const definition = allTopics.find(({ name }) => name === letter.topic);
  if (!definition) return { not: `there is no topic ${letter.topic}` };
  if (letter.value === null) return { not: "its bytes were not kept" };
  const keeps_time = letter.topic === topics.telemetry.name || letter.topic === topics.inventory.name;
  const age_ms = now - letter.record_timestamp;
  if (keeps_time && age_ms > (definition.retention_ms ?? Number.POSITIVE_INFINITY) - retention_margin_ms) {
    return { not: `it is ${Math.round(age_ms / 3_600_000)} h old, and ${letter.topic} keeps what is younger only` };
  }
  const record = letter.offset < 0 ? refusedByIngest(letter, codec, limits) : takenFromLog(letter, codec, definition.schemas);
  if ("not" in record) return { not: `it would be refused again: ${record.not}` };
  const mark = {
    topic: topics.deadLetters.name,
    key: letter.key ?? letter.host_id,
    // Beside the letter, so that both are dropped together.
    partition: Number(id.split(":")[0]),
    value: codec.encode("DeadLetter", replayMark(found, now)),
  };
  return { records: [{ ...record, ...(keeps_time ? { timestamp: letter.record_timestamp } : {}) }, mark] };
}

type Replayable = NewRecord | { readonly not: string };

/** It never reached the log: it goes through ingest's own checks, under the credential that brought it. */
function refusedByIngest({ topic, host_id, value }: StandingLetter["letter"], codec: Codec, limits: IngestLimits): Replayable {
  const parser = new RecordParser(codec, limits);
  const wire = value ?? Buffer.alloc(0);
  const isTelemetry = topic === topics.telemetry.name;
  if (!isTelemetry && topic !== topics.inventory.name) return { not: `ingest brings nothing to ${topic}` };
  const parsed = isTelemetry ? parser.telemetry(wire) : parser.inventory(wire);
  if (!parsed.ok) return { not: `${parsed.reason}, ${parsed.detail}` };
  const brought = parsed.value;
  if (brought.host_id !== host_id) return { not: `wrong_host, of host ${brought.host_id}, brought by ${host_id}` };
  if (!("section" in brought)) return { topic, key: host_id, value: parsed.wire };
  return { topic, key: `${host_id}/${brought.section}/${brought.chunk}`, partition_key: host_id, value: parsed.wire };
}

/** It goes where it was, so that it stands in order with what else has its key. */
function takenFromLog(letter: StandingLetter["letter"], codec: Codec, schemas: readonly string[]): Replayable {
  const { topic, partition, key, value } = letter;
  const decoded = codec.decode(value ?? Buffer.alloc(0));
  if (decoded.name === "undecodable") return { not: `${decoded.reason}, ${decoded.detail}` };
  if (!schemas.includes(decoded.name)) return { not: `${decoded.name} is not for ${topic}` };
  if (decoded.name === "TelemetryBatch" && decoded.value.host_id !== key?.toString()) {
    return { not: `a batch of host ${decoded.value.host_id} under the key ${key?.toString() ?? "null"}` };
  }
  return { topic, key, partition, value };
}
