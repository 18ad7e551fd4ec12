/** Makes the HostWindow record of a window that closes, or of a supplement. */
import type {
  Membership as ApplicationMembership,
  AssessmentSpan,
  ClosedBy,
  ConnectionObservation,
  HostWindow,
  KindCount,
  ListenerObservation,
  ProcessObservation,
} from "@assay/schemas/generated/types";
import { fit, jsonBytes, record_bytes_max } from "../fit";
import { encodeTimes, timesPerSecond } from "./event-times";
import { lastUsedAt, observedSince } from "./listeners-in-use";
import { type Folded, type FoldedConnection, kindCounts, type OpenWindow, zeroByKind } from "./open-window";
import type { HostState } from "./state";

/** What control said of a host for the window that starts then. */
export type Membership = (
  host: Pick<HostState, "host_id" | "host_name" | "agent_tags">,
  window_start: number,
  window_end: number,
) => {
  readonly tags: Record<string, string>;
  readonly applications: ApplicationMembership[];
  readonly assessments: AssessmentSpan[];
};

/** Takes the host's duplicates and drops along: they are told once, in its next part. */
export function closePart(
  host: HostState,
  window: OpenWindow,
  closed_by: ClosedBy,
  membership: Membership,
  window_ms: number,
): HostWindow {
  const window_end = window.start + window_ms;
  const { duplicates, drops } = host;
  host.duplicates = zeroByKind();
  host.drops = [];
  return {
    host_id: host.host_id,
    host_name: host.host_name,
    agent_version: host.agent_version,
    window_start: window.start,
    window_end,
    incarnation: host.incarnation,
    seq_from: window.incarnation_from === host.incarnation ? window.seq_from : 0,
    seq_to: host.seq,
    closed_by,
    covered_from: window.covered_from,
    covered_to: window.covered_to,
    clock_offset_ms: host.clock_offset_ms,
    received_through: Math.max(window.received_through, closed_by === "silent" ? 0 : host.received_at),
    ...membership(host, window.start, window_end),
    processes: Array.from(window.processes.values(), processObservation),
    connections: Array.from(window.connections.values(), connectionObservation),
    listeners: Array.from(window.listeners.values(), (l): ListenerObservation => {
      const { at: _, ...facts } = l.event;
      const observed_since = observedSince(host.in_use, l.event);
      return { ...facts, observed_since, last_used_at: lastUsedAt(host.in_use, l.event), times: encodeTimes(l.times) };
    }),
    collectors: Object.values(window.collectors),
    counts: kindCounts(window, duplicates),
    drops,
  };
}

/** As much of a part as the log takes as one record: first with times per second, then without what doesn't fit, counted as cut. */
export function fitPart(part: HostWindow): HostWindow {
  const rest = { ...part, processes: [], connections: [], listeners: [] };
  const coarse = <O extends Observation>(observation: O): O => {
    return { ...observation, times: timesPerSecond(observation.times, part.window_start) };
  };
  const whole = {
    processes: part.processes.map(coarse),
    connections: part.connections.map(coarse),
    listeners: part.listeners.map(coarse),
  };
  const kept = fit(whole, record_bytes_max - jsonBytes(rest));
  const counts = part.counts.map((count): KindCount => {
    const kind = count.kind as keyof typeof whole;
    const cut = eventsOf(whole[kind]) - eventsOf(kept[kind]);
    const observations = whole[kind].length - kept[kind].length;
    return { ...count, cut: count.cut + cut, folded: count.folded - (cut - observations) };
  });
  return { ...part, ...kept, counts };
}

type Observation = HostWindow["processes" | "connections" | "listeners"][number];

function eventsOf(observations: readonly Observation[]): number {
  return observations.reduce((sum, { times }) => sum + times.count, 0);
}

function processObservation(
  folded: Folded<Omit<ProcessObservation, "times"> & { at: number; parent_pid: number }>,
): ProcessObservation {
  const { at: _at, parent_pid: _parent, ...facts } = folded.event;
  return { ...facts, times: encodeTimes(folded.times) };
}

function connectionObservation(folded: FoldedConnection): ConnectionObservation {
  const { at: _at, opened_at: _opened, source_port: _port, ...facts } = folded.event;
  return { ...facts, connections: folded.connections.size, times: encodeTimes(folded.times) };
}
