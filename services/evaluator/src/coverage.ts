/**
 * For how long a host has been watched without a gap: one interval of event time, which grows with each part that touches it and
 * begins anew after a gap. And the row of the coverage table.
 */
import type { CollectorStatus, HostWindow } from "@assay/schemas/generated/types";
import { telemetryKinds } from "@assay/schemas/kinds";
import type { CoverageRow } from "./rows";

/** As it stands in a checkpoint. */
export interface Coverage {
  /** Watched without a gap during [since, through); equal where never. */
  since: number;
  through: number;
  /** By kind: event time until which something of it was lost last (collector failed, telemetry dropped or cut), and how. */
  gaps: Record<string, { until: number; reason: string }>;
}

export function noCoverage(): Coverage {
  return { since: 0, through: 0, gaps: {} };
}

export function cover(coverage: Coverage, part: HostWindow): void {
  noteGaps(coverage, part);
  const { covered_from: from, covered_to: to } = part;
  if (from >= to) return;
  const touches = from <= coverage.through && to >= coverage.since && coverage.since < coverage.through;
  if (touches) {
    coverage.since = Math.min(coverage.since, from);
    coverage.through = Math.max(coverage.through, to);
  } else if (from >= coverage.through) {
    coverage.since = from;
    coverage.through = to;
  }
}

/** Why a period was not watched wholly, as far as these kinds go; undefined where it was. */
export function gapIn(coverage: Coverage, begins_at: number, ends_at: number, kinds: readonly string[]): string | undefined {
  if (coverage.since > begins_at || coverage.through < ends_at) {
    return coverage.since > begins_at && coverage.since < ends_at
      ? `the host was watched without a gap only since ${time(coverage.since)}, and the period begins at ${time(begins_at)}`
      : `the host was not watched without a gap in the period ${time(begins_at)} to ${time(ends_at)}`;
  }
  for (const kind of kinds) {
    const gap = coverage.gaps[kind];
    if (gap && gap.until > begins_at) return `${kind}: ${gap.reason}, until ${time(gap.until)}`;
  }
  return undefined;
}

/** What this part alone lost of a kind; undefined where nothing. */
export function lostOf(part: HostWindow, kind: string): string | undefined {
  const state = part.collectors.find((c) => c.collector === kind);
  if (state?.status === "failed") return `the collector failed: ${state.reason}`;
  if (state && lacksWholeEvents(state.status, state.missing_fields)) return `the agent could not see all: ${state.reason}`;
  const dropped = part.drops.find((d) => (d.kind === kind || d.kind === whole_batches) && d.count > 0);
  if (dropped) return `telemetry was dropped by the agent: ${dropped.reason}`;
  if (part.counts.some((c) => c.kind === kind && c.cut > 0)) return "more observations than the limit of a window";
  return undefined;
}

/** An agent that names no fields with its partial sight may have missed whole events. */
export function lacksWholeEvents(status: CollectorStatus, missing_fields: readonly string[]): boolean {
  return status === "partial" && missing_fields.length === 0;
}

export function coverageRow(part: HostWindow): CoverageRow {
  return {
    host_id: part.host_id,
    host_name: part.host_name,
    agent_version: part.agent_version,
    window_start: part.window_start,
    window_end: part.window_end,
    incarnation: part.incarnation,
    seq_from: part.seq_from,
    seq_to: part.seq_to,
    closed_by: part.closed_by,
    covered_ms: Math.max(0, part.covered_to - part.covered_from),
    clock_offset_ms: part.clock_offset_ms,
    applications: part.applications.map((a) => a.application_id),
    assessments: part.assessments.map((a) => a.assessment_id),
    tags: part.tags,
    windowed: byKind(part, (c) => c.windowed),
    folded: byKind(part, (c) => c.folded),
    cut: byKind(part, (c) => c.cut),
    duplicates: byKind(part, (c) => c.duplicates),
    dropped: sums(part.drops.map((d) => [d.kind, d.count])),
    drop_reasons: sums(part.drops.map((d) => [d.reason, d.count])),
    collectors: Object.fromEntries(part.collectors.map((c) => [c.collector, c.reason ? `${c.status}:${c.reason}` : c.status])),
    received_through: part.received_through,
  };
}

/** The kind of a drop that took something of every kind. */
const whole_batches = "batches";

function noteGaps(coverage: Coverage, part: HostWindow): void {
  for (const kind of telemetryKinds) {
    const reason = lostOf(part, kind);
    if (reason === undefined) continue;
    const known = coverage.gaps[kind];
    if (!known || known.until < part.window_end) coverage.gaps[kind] = { until: part.window_end, reason };
  }
}

function byKind(part: HostWindow, count: (c: HostWindow["counts"][number]) => number): Record<string, number> {
  return sums(part.counts.map((c) => [c.kind, count(c)]));
}

function sums(counts: readonly (readonly [string, number])[]): Record<string, number> {
  const total = new Map<string, number>(); // names come from agents
  for (const [name, count] of counts) total.set(name, (total.get(name) ?? 0) + count);
  return Object.fromEntries(total);
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
