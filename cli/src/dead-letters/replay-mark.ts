/**
 * That a dead letter was replayed stands beside it, in its topic: a record of the same schema that names the letter by its place there and
 * has no bytes. Audits, which count letters of telemetry, pass over it.
 */
import { replayed_reason } from "@assay/schemas/dead-letter-reasons";
import type { DeadLetter } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { StandingLetter } from "./letter";
import { parseLetterId } from "./letter";

export function replayMark({ id, letter }: StandingLetter, now: number): DeadLetter {
  const place = parseLetterId(id);
  return {
    at: now,
    service: "cli",
    reason: replayed_reason,
    detail: `replayed to ${letter.topic}`,
    topic: topics.deadLetters.name,
    partition: place?.partition ?? -1,
    offset: place?.offset ?? -1,
    host_id: letter.host_id,
    key: letter.key,
    value: null,
    record_timestamp: letter.at,
  };
}

/** The id of the letter that a mark is of; undefined for a letter. */
export function replayedLetter({ reason, topic, partition, offset }: DeadLetter): string | undefined {
  return reason === replayed_reason && topic === topics.deadLetters.name ? `${partition}:${offset}` : undefined;
}
