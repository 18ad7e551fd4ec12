/**
 * The first half of an audit: what was accepted, recounted from the telemetry topic alone. Every record is kept as one line
 * (host, incarnation, seq, offset, events by window and kind); at the end the lines are sorted and grouped, so that a repeat is
 * whatever has the incarnation and seq of a line before it. Nothing that the correlator says is used here.
 */
import type { TelemetryBatch } from "@assay/schemas/generated/types";
import { type TelemetryKind, telemetryKinds } from "@assay/schemas/kinds";

export type KindCounts = Record<TelemetryKind, number>;

/** One record of assay.telemetry, decoded. */
export type TelemetryRecord = {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
} & (
  | { readonly kind: "batch"; readonly batch: TelemetryBatch }
  | { readonly kind: "silent"; readonly host_id: string; readonly incarnation: number; readonly seq: number }
  | { readonly kind: "unreadable" }
);

export interface CountedBatch {
  readonly partition: number;
  readonly offset: number;
  readonly incarnation: number;
  readonly seq: number;
  /** Came for the first time after later ones, as replays do: its events count with the host's next batch in the topic. */
  readonly late: boolean;
  /** The agent's, corrected by its clock's offset. */
  readonly complete_through: number;
  readonly events: KindCounts;
  /** Events by start of their window. */
  readonly windows: ReadonlyMap<number, KindCounts>;
  readonly drops: KindCounts;
  /** Whole batches that the agent lost unsent, such as those for which its spool had no room. */
  readonly dropped_batches: number;
}

export interface CountedHost {
  readonly host_id: string;
  host_name: string;
  readonly batches: CountedBatch[];
  /** Ids of batches, in the order of the topic, and the clock's correction after the last new one. */
  readonly seen: Set<string>;
  clock_offset_ms: number;
  /** The highest incarnation, and the highest seq in it. */
  mark: readonly [incarnation: number, seq: number];
  readonly silents: { readonly offset: number; readonly incarnation: number; readonly seq: number }[];
}

export interface Recount {
  readonly window_ms: number;
  readonly hosts: Map<string, CountedHost>;
  /** "partition:offset" of records that can't be decoded. */
  readonly unreadable: Set<string>;
}

/** Beyond this an agent's clock is corrected by what sent_at and the record's timestamp say. */
const clock_offset_ignored_ms = 5_000;
/** A time further ahead of its acceptance than this counts as this. */
const future_ms_max = 5_000;

export function emptyRecount(window_ms: number): Recount {
  return { window_ms, hosts: new Map(), unreadable: new Set() };
}

/** is_dead: a stage could not use it and made a dead letter of it, so to the stage it was never there. */
export function addRecord(recount: Recount, record: TelemetryRecord, is_dead = false): void {
  if (record.kind === "unreadable") {
    recount.unreadable.add(`${record.partition}:${record.offset}`);
    return;
  }
  if (record.kind === "silent") {
    host(recount, record.host_id).silents.push({ offset: record.offset, incarnation: record.incarnation, seq: record.seq });
    return;
  }
  const { batch } = record;
  const of = host(recount, batch.host_id);
  of.host_name = batch.host_name;
  const id = `${batch.incarnation}:${batch.seq}`;
  const fresh = !is_dead && !of.seen.has(id);
  if (fresh) of.seen.add(id);
  const ahead = batch.incarnation > of.mark[0] || (batch.incarnation === of.mark[0] && batch.seq > of.mark[1]);
  const late = fresh && !ahead;
  const skew_ms = record.timestamp - batch.sent_at;
  if (fresh && ahead) {
    of.clock_offset_ms = clockOffset(of.clock_offset_ms, skew_ms);
    of.mark = [batch.incarnation, batch.seq];
  }
  // One that is late says nothing of the clock now.
  const offset_ms = late ? clockOffset(0, skew_ms) : of.clock_offset_ms;
  const latest = record.timestamp + future_ms_max;
  const windows = new Map<number, KindCounts>();
  const events = noCounts();
  for (const kind of telemetryKinds) {
    for (const event of batch[kind]) {
      const at = Math.min(event.at + offset_ms, latest);
      const start = Math.floor(at / recount.window_ms) * recount.window_ms;
      let counts = windows.get(start);
      if (!counts) {
        counts = noCounts();
        windows.set(start, counts);
      }
      counts[kind]++;
      events[kind]++;
    }
  }
  const drops = noCounts();
  let dropped_batches = 0;
  for (const { kind, count } of batch.drops) {
    if (isKind(kind)) drops[kind] += count;
    else dropped_batches += count;
  }
  of.batches.push({
    partition: record.partition,
    offset: record.offset,
    incarnation: batch.incarnation,
    seq: batch.seq,
    late,
    complete_through: Math.min(batch.complete_through + offset_ms, latest),
    events,
    windows,
    drops,
    dropped_batches,
  });
}

/** First appearances and repeats of a host's batches, both ordered by incarnation, seq and offset. */
export function splitRepeats(batches: readonly CountedBatch[]): {
  readonly first: readonly CountedBatch[];
  readonly repeated: readonly CountedBatch[];
} {
  const sorted = [...batches].sort((a, b) => a.incarnation - b.incarnation || a.seq - b.seq || a.offset - b.offset);
  const first: CountedBatch[] = [];
  const repeated: CountedBatch[] = [];
  for (const [i, batch] of sorted.entries()) {
    const before = sorted[i - 1];
    const repeats = before !== undefined && before.incarnation === batch.incarnation && before.seq === batch.seq;
    (repeats ? repeated : first).push(batch);
  }
  return { first, repeated };
}

/** A correction stays until it is off by more than 5 s: the rule of event time, written down a second time on purpose. */
function clockOffset(current_ms: number, skew_ms: number): number {
  if (Math.abs(skew_ms) <= clock_offset_ignored_ms) return 0;
  return current_ms !== 0 && Math.abs(skew_ms - current_ms) <= clock_offset_ignored_ms ? current_ms : skew_ms;
}

export function noCounts(): KindCounts {
  return { processes: 0, connections: 0, listeners: 0 };
}

export function addCounts(to: KindCounts, from: KindCounts): void {
  for (const kind of telemetryKinds) to[kind] += from[kind];
}

export function isKind(kind: string): kind is TelemetryKind {
  return (telemetryKinds as readonly string[]).includes(kind);
}

function host(recount: Recount, host_id: string): CountedHost {
  let found = recount.hosts.get(host_id);
  if (!found) {
    found = { host_id, host_name: "", batches: [], silents: [], seen: new Set(), clock_offset_ms: 0, mark: [0, 0] };
    recount.hosts.set(host_id, found);
  }
  return found;
}
