/** Parts of host windows, and what of a host they have told. */
import type { CountedBatch, KindCounts } from "./recount";

/** A row of assay.coverage: one part of a host window. */
export interface StoredPart extends PartId {
  /** Latest acceptance among its batches, ms. */
  readonly received_through: number;
  readonly windowed: KindCounts;
  readonly folded: KindCounts;
  readonly duplicates: KindCounts;
}

export interface PartId {
  readonly host_id: string;
  readonly window_start: number;
  readonly incarnation: number;
  readonly seq_from: number;
  readonly seq_to: number;
  readonly closed_by: "complete" | "silent" | "supplement";
}

/** By what of the host they have told: incarnation and seq. */
export function comparePosition(a: PartId, b: PartId): number {
  return a.incarnation - b.incarnation || a.seq_to - b.seq_to || a.window_start - b.window_start;
}

/** By window, the part that has told most. */
export function latestMarks(parts: readonly PartId[]): Map<number, PartId> {
  const marks = new Map<number, PartId>();
  for (const part of parts) {
    const known = marks.get(part.window_start);
    if (!known || comparePosition(part, known) > 0) marks.set(part.window_start, part);
  }
  return marks;
}

/** Whether the part has told the batch. */
export function covers(mark: PartId | undefined, batch: CountedBatch): boolean {
  if (!mark) return false;
  return batch.incarnation < mark.incarnation || (batch.incarnation === mark.incarnation && batch.seq <= mark.seq_to);
}
