/** How far the correlator must have come with a host: which of its windows are closed, and which of its repeats are told. */
import type { PartId } from "./part";
import type { CountedBatch, CountedHost, Recount } from "./recount";

export interface Progress {
  readonly recount: Pick<Recount, "window_ms">;
  readonly lateness_ms: number;
  /** By partition of the telemetry topic: what the correlator has committed. */
  readonly partitions: ReadonlyMap<number, { readonly correlated_to: number }>;
}

/** Until which event time the host's completeness (or its silence) has closed windows, as far as the correlator has committed. */
export function closings(host: CountedHost, first: readonly CountedBatch[], input: Progress) {
  const partition = host.batches[0]?.partition ?? 0;
  const committed = input.partitions.get(partition)?.correlated_to ?? 0;
  const in_time = first.filter((batch) => !batch.late);
  const closed_through = in_time.reduce(
    (max, batch) => (batch.offset < committed ? Math.max(max, batch.complete_through - input.lateness_ms) : max),
    Number.NEGATIVE_INFINITY,
  );
  const byId = new Map(first.map((batch) => [`${batch.incarnation}:${batch.seq}`, batch]));
  const lastBefore = (offset: number) => first.findLast((batch) => batch.offset < offset);
  // A HostSilent counts only while no later batch stands before it in the log.
  const silences = host.silents.filter((s) => {
    const named = byId.get(`${s.incarnation}:${s.seq}`);
    return named !== undefined && lastBefore(s.offset) === named;
  });
  const silentOffset = silences.reduce((max, s) => (s.offset < committed ? Math.max(max, s.offset) : max), -1);
  return {
    mustBeClosed(window: number, batch: CountedBatch): boolean {
      if (batch.offset >= committed) return false;
      return window + input.recount.window_ms <= closed_through || batch.offset < silentOffset;
    },
    /** The host's next batch in the topic, by which it has told of everything before; undefined while there is none. */
    nextOf(late: CountedBatch): CountedBatch | undefined {
      return in_time.find((batch) => batch.offset > late.offset);
    },
    /** The offset of the record at which a part was cut: of its batch, or of the HostSilent after it. */
    ownOffset(part: PartId): number | undefined {
      const batch = byId.get(`${part.incarnation}:${part.seq_to}`);
      if (!batch || part.closed_by !== "silent") return batch?.offset;
      const silence = silences.find((s) => s.incarnation === part.incarnation && s.seq === part.seq_to);
      return silence?.offset ?? batch.offset;
    },
  };
}

/** Repeats after this offset have not been told by any stored part yet. */
export function cutOffset(
  host: CountedHost,
  first: readonly CountedBatch[],
  stored: readonly PartId[],
  ownOffset: (part: PartId) => number | undefined,
): number {
  if (host.batches.length === 0 || first.length === 0) return -1;
  return stored.reduce((max, part) => Math.max(max, ownOffset(part) ?? -1), -1);
}
