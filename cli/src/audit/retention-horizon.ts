/**
 * What the telemetry topic may have lost of a host, by its retention, and what it may not.
 *
 * A part of a window that was received after the oldest record that is kept of the host's partition has its batches in the topic, or else
 * they are lost. Of parts that were received before nothing can be said.
 */
import { comparePosition, type PartId, type StoredPart } from "./part";
import type { CountedBatch } from "./recount";

/** What the telemetry topic keeps of a partition. */
export interface KeptPartition {
  /** The oldest kept offset. */
  readonly earliest: number;
  /** ms: what was accepted from then on is kept. */
  readonly kept_from: number;
}

export interface RetentionHorizon {
  /** Starts of windows in which batches that are gone have a share. */
  readonly windows: ReadonlySet<number>;
  /** The last offset before which repeats can't be told from firsts. */
  readonly offset: number;
  readonly part: PartId | undefined;
  /** Parts whose batches should be there, and aren't. */
  readonly lost: readonly StoredPart[];
}

/** first: the host's batches, by incarnation and seq. */
export function retentionHorizon(
  first: readonly CountedBatch[],
  stored: readonly StoredPart[],
  kept: KeptPartition | undefined,
): RetentionHorizon {
  const oldest = first.find((batch) => !batch.late);
  // Where nothing was dropped, what isn't there shows in the sums.
  if (!oldest || !hasDropped(kept)) return { windows: new Set(), offset: -1, part: undefined, lost: [] };
  const byId = new Map(first.map((batch) => [`${batch.incarnation}:${batch.seq}`, batch]));
  const windows = new Set<number>();
  for (const part of stored) {
    const sharesGone =
      part.incarnation < oldest.incarnation ||
      part.seq_from === 0 ||
      (part.incarnation === oldest.incarnation && part.seq_from < oldest.seq);
    if (sharesGone) windows.add(part.window_start);
  }
  // The window in which the oldest kept batch falls may have had events in batches that are gone, without a part yet.
  for (const window of oldest.windows.keys()) windows.add(window);
  const ordered = [...stored].sort(comparePosition);
  const border = ordered.find((part) => byId.has(`${part.incarnation}:${part.seq_to}`));
  const offset = border ? (byId.get(`${border.incarnation}:${border.seq_to}`)?.offset ?? oldest.offset) : oldest.offset;
  const lost = stored.filter((part) => mustBeKept(part, kept) && !byId.has(`${part.incarnation}:${part.seq_to}`));
  return { windows, offset, part: border, lost };
}

/** Whether the batches of a part must be in the topic. */
export function mustBeKept(part: StoredPart, kept: KeptPartition | undefined): boolean {
  return !hasDropped(kept) || part.received_through > kept.kept_from + kept_from_margin_ms;
}

/** For an audit that takes its time, and for clocks of ingests that differ. */
const kept_from_margin_ms = 5 * 60_000;

function hasDropped(kept: KeptPartition | undefined): kept is KeptPartition {
  return kept !== undefined && kept.earliest > 0;
}

/** Whether a part has told more than another. */
export function isAfter(part: PartId, border: PartId | undefined): boolean {
  if (!border) return false;
  return part.incarnation > border.incarnation || (part.incarnation === border.incarnation && part.seq_to > border.seq_to);
}
