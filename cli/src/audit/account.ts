/**
 * The second half of an audit: what was accepted (recount.ts) against what the store says was windowed.
 *
 *   accepted = windowed + duplicates + dead-lettered + pending, for each host and kind
 *
 * windowed and duplicates come from the store's coverage rows; everything else from the topics. Pending is what may still be on
 * its way: events of a window that its host's own completeness doesn't close yet, and events of batches or parts that a stage's
 * committed position doesn't cover yet. What a stage has been through and the store doesn't show is missing, never pending.
 *
 * Telemetry is kept for a day. Windows and repeats that batches older than the oldest kept one have a share in are left out on
 * both sides, and counted as left out.
 */
import { type TelemetryKind, telemetryKinds } from "@assay/schemas/kinds";
import { closings, cutOffset } from "./closings";
import { covers, latestMarks, type PartId, type StoredPart } from "./part";
import { addCounts, type CountedBatch, type CountedHost, type KindCounts, noCounts, type Recount, splitRepeats } from "./recount";
import { isAfter, type KeptPartition, mustBeKept, retentionHorizon } from "./retention-horizon";

export interface AuditInput {
  readonly recount: Recount;
  readonly lateness_ms: number;
  /** By partition of the telemetry topic: what is kept, and the offset that the correlator has committed. */
  readonly partitions: ReadonlyMap<number, KeptPartition & { readonly correlated_to: number }>;
  /** Where a host's telemetry goes. */
  readonly partitionOf: (host_id: string) => number;
  /** Dead letters that name a record of the telemetry topic, as "partition:offset". */
  readonly dead_letters: ReadonlySet<string>;
  readonly stored: readonly StoredPart[];
  /** Parts in the host-windows topic past the position that the evaluator has committed. */
  readonly unevaluated: readonly PartId[];
}

export interface Account {
  readonly rows: readonly AccountRow[];
  /** What doesn't add up, in words; empty when everything does. */
  readonly problems: readonly string[];
  readonly windows_left_out: number;
  /** Whole batches that agents lost before they sent them, by host; never accepted. */
  readonly agent_dropped_batches: Readonly<Record<string, number>>;
}

export interface AccountRow {
  readonly host_id: string;
  readonly host_name: string;
  readonly kind: TelemetryKind | "unreadable";
  readonly accepted: number;
  readonly windowed: number;
  readonly folded: number;
  readonly duplicates: number;
  readonly dead_lettered: number;
  readonly pending: number;
  /** Told by the agent; not part of the sum. */
  readonly agent_drops: number;
  /** accepted - windowed - duplicates - dead_lettered - pending. */
  readonly difference: number;
}

export function account(input: AuditInput): Account {
  const stored = groupByHost(input.stored);
  const unevaluated = groupByHost(input.unevaluated);
  const rows: AccountRow[] = [];
  const problems: string[] = [];
  const agent_dropped_batches: Record<string, number> = {};
  let windows_left_out = 0;
  for (const host_id of [...new Set([...input.recount.hosts.keys(), ...stored.keys()])].sort()) {
    const host = input.recount.hosts.get(host_id);
    if (!host) {
      const parts = stored.get(host_id) ?? [];
      const kept = input.partitions.get(input.partitionOf(host_id));
      windows_left_out += new Set(parts.map((p) => p.window_start)).size;
      problems.push(
        ...lostProblem(
          host_id,
          parts.filter((part) => mustBeKept(part, kept)),
        ),
      );
      continue;
    }
    const result = accountHost(host, stored.get(host_id) ?? [], unevaluated.get(host_id) ?? [], input);
    rows.push(...result.rows);
    problems.push(...result.problems);
    windows_left_out += result.windows_left_out;
    if (result.dropped_batches > 0) agent_dropped_batches[host_id] = result.dropped_batches;
  }
  rows.push(...unreadableRow(input));
  for (const row of rows) {
    if (row.difference !== 0) {
      problems.push(
        row.difference > 0
          ? `host ${row.host_id}, ${row.kind}: ${row.difference} accepted events are nowhere`
          : `host ${row.host_id}, ${row.kind}: ${-row.difference} events more in the store than were accepted`,
      );
    }
  }
  return { rows, problems, windows_left_out, agent_dropped_batches };
}

interface HostAccount {
  readonly rows: AccountRow[];
  readonly problems: string[];
  readonly windows_left_out: number;
  readonly dropped_batches: number;
}

function accountHost(
  host: CountedHost,
  stored: readonly StoredPart[],
  unevaluated: readonly PartId[],
  input: AuditInput,
): HostAccount {
  const dead = noCounts();
  const alive: CountedBatch[] = [];
  for (const batch of host.batches) {
    if (input.dead_letters.has(`${batch.partition}:${batch.offset}`)) addCounts(dead, batch.events);
    else alive.push(batch);
  }
  const { first, repeated } = splitRepeats(alive);
  const horizon = retentionHorizon(first, stored, input.partitions.get(input.partitionOf(host.host_id)));
  const kept = stored.filter((part) => !horizon.windows.has(part.window_start));

  const accepted = noCounts();
  const pending = noCounts();
  const windowed = noCounts();
  const folded = noCounts();
  const storedDuplicates = noCounts();
  const drops = noCounts();
  const problems: string[] = [];
  addCounts(accepted, dead);
  for (const batch of first) addCounts(drops, batch.drops);
  for (const part of kept) {
    addCounts(windowed, part.windowed);
    addCounts(folded, part.folded);
  }

  const marks = latestMarks(kept);
  const waiting = latestMarks(unevaluated);
  const closing = closings(host, first, input);
  const expected = new Map<number, KindCounts>();
  for (const batch of first) {
    for (const [window, counts] of batch.windows) {
      if (horizon.windows.has(window)) continue;
      addCounts(accepted, counts);
      // The batch that its events count with.
      const by = batch.late ? closing.nextOf(batch) : batch;
      const shown = by !== undefined && covers(marks.get(window), by);
      if (!shown && (by === undefined || covers(waiting.get(window), by) || !closing.mustBeClosed(window, by))) {
        addCounts(pending, counts);
        continue;
      }
      const sum = expected.get(window) ?? noCounts();
      expected.set(window, sum);
      addCounts(sum, counts);
    }
  }
  problems.push(...lostProblem(host.host_id, horizon.lost), ...windowProblems(host, kept, expected));

  const cut = cutOffset(host, first, stored, closing.ownOffset);
  const ownDuplicates = noCounts();
  for (const batch of repeated) {
    if (batch.offset <= horizon.offset) continue;
    addCounts(accepted, batch.events);
    addCounts(batch.offset > cut ? pending : ownDuplicates, batch.events);
  }
  for (const part of stored) {
    if (horizon.offset < 0 || isAfter(part, horizon.part)) addCounts(storedDuplicates, part.duplicates);
  }
  for (const kind of telemetryKinds) {
    if (ownDuplicates[kind] !== storedDuplicates[kind]) {
      problems.push(
        `host ${host.host_id}, ${kind}: ${ownDuplicates[kind]} events of repeated batches are in the topic, the store says ${storedDuplicates[kind]}`,
      );
    }
  }

  const rows = telemetryKinds.map((kind) => ({
    host_id: host.host_id,
    host_name: host.host_name,
    kind,
    accepted: accepted[kind],
    windowed: windowed[kind],
    folded: folded[kind],
    duplicates: storedDuplicates[kind],
    dead_lettered: dead[kind],
    pending: pending[kind],
    agent_drops: drops[kind],
    difference: accepted[kind] - windowed[kind] - storedDuplicates[kind] - dead[kind] - pending[kind],
  }));
  const dropped_batches = first.reduce((sum, batch) => sum + batch.dropped_batches, 0);
  return { rows, problems, windows_left_out: horizon.windows.size, dropped_batches };
}

function lostProblem(host_id: string, lost: readonly StoredPart[]): string[] {
  const [oldest] = [...lost].sort((a, b) => a.received_through - b.received_through);
  if (!oldest) return [];
  const parts = lost.length === 1 ? "a part of a window" : `${lost.length} parts of windows`;
  const from = new Date(oldest.received_through).toISOString();
  return [
    `host ${host_id}: the store has ${parts} of telemetry accepted from ${from} on, which the topic should keep and doesn't have`,
  ];
}

function windowProblems(host: CountedHost, kept: readonly StoredPart[], expected: ReadonlyMap<number, KindCounts>): string[] {
  const shown = new Map<number, KindCounts>();
  for (const part of kept) {
    const sum = shown.get(part.window_start) ?? noCounts();
    shown.set(part.window_start, sum);
    addCounts(sum, part.windowed);
  }
  const problems: string[] = [];
  for (const window of [...new Set([...expected.keys(), ...shown.keys()])].sort((a, b) => a - b)) {
    const own = expected.get(window) ?? noCounts();
    const theirs = shown.get(window) ?? noCounts();
    for (const kind of telemetryKinds) {
      if (own[kind] !== theirs[kind]) {
        problems.push(
          `host ${host.host_id}, window ${new Date(window).toISOString()}, ${kind}: ${own[kind]} events accepted, the store has ${theirs[kind]}`,
        );
      }
    }
  }
  return problems;
}

function unreadableRow(input: AuditInput): AccountRow[] {
  const accepted = input.recount.unreadable.size;
  if (accepted === 0) return [];
  const dead_lettered = [...input.recount.unreadable].filter((id) => input.dead_letters.has(id)).length;
  const pending = [...input.recount.unreadable].filter((id) => !input.dead_letters.has(id) && !isCorrelated(id, input)).length;
  return [
    {
      host_id: "(unknown)",
      host_name: "",
      kind: "unreadable",
      accepted,
      windowed: 0,
      folded: 0,
      duplicates: 0,
      dead_lettered,
      pending,
      agent_drops: 0,
      difference: accepted - dead_lettered - pending,
    },
  ];
}

function isCorrelated(id: string, input: AuditInput): boolean {
  const [partition, offset] = id.split(":").map(Number);
  return (offset ?? 0) < (input.partitions.get(partition ?? 0)?.correlated_to ?? 0);
}

function groupByHost<P extends PartId>(parts: readonly P[]): Map<string, P[]> {
  const byHost = new Map<string, P[]>();
  for (const part of parts) {
    const list = byHost.get(part.host_id);
    if (list) list.push(part);
    else byHost.set(part.host_id, [part]);
  }
  return byHost;
}
