/** A host window that is still open (or a supplement being gathered): distinct observations with their event times. */
import type { CollectorState, ConnectionEvent, KindCount, ListenerEvent, ProcessEvent } from "@assay/schemas/generated/types";
import { type TelemetryKind, telemetryKinds } from "@assay/schemas/kinds";
import { addTime, type OpenTimes, startTimes } from "./event-times";

/** Distinct observations of one kind in one host window; what is past it is counted as cut. */
export const observations_per_kind_max = 10_000;
/** Connections told apart in one connection observation; past it they are still counted as events, not as connections. */
const connections_per_observation_max = 4_096;

export interface Folded<E> {
  readonly event: E;
  readonly times: OpenTimes;
}
export interface FoldedConnection extends Folded<ConnectionEvent> {
  /** What tells one connection from another: source port and opening time, as connectionId makes it. */
  readonly connections: Set<number>;
}

export interface OpenWindow {
  readonly start: number;
  /** The batch that first had a share in it. */
  incarnation_from: number;
  seq_from: number;
  received_through: number;
  /** The agent watched during [covered_from, covered_to); equal where it didn't. */
  covered_from: number;
  covered_to: number;
  /** By fold key. */
  readonly processes: Map<string, Folded<ProcessEvent>>;
  readonly connections: Map<string, FoldedConnection>;
  readonly listeners: Map<string, Folded<ListenerEvent>>;
  distinct: Record<TelemetryKind, number>;
  windowed: Record<TelemetryKind, number>;
  folded: Record<TelemetryKind, number>;
  cut: Record<TelemetryKind, number>;
  collectors: Record<string, CollectorState>;
}

export function zeroByKind(): Record<TelemetryKind, number> {
  return { processes: 0, connections: 0, listeners: 0 };
}

export function openWindow(start: number, incarnation: number, seq: number): OpenWindow {
  return {
    start,
    incarnation_from: incarnation,
    seq_from: seq,
    received_through: 0,
    covered_from: start,
    covered_to: start,
    processes: new Map(),
    connections: new Map(),
    listeners: new Map(),
    distinct: zeroByKind(),
    windowed: zeroByKind(),
    folded: zeroByKind(),
    cut: zeroByKind(),
    collectors: {},
  };
}

// The fold keys: every field that rules can read, and the finding's evidence shows, except times, process ids and source ports.

const processKey = (e: ProcessEvent): string =>
  [
    e.image,
    e.image_deleted,
    e.command_line,
    e.current_directory,
    e.user,
    e.parent_image,
    e.parent_command_line,
    e.parent_user,
    e.parent_listens.join(","),
    e.ancestors.join("\u0001"),
  ].join("\u0000");

const connectionKey = (e: ConnectionEvent): string =>
  [e.protocol, e.side, e.source_address, e.destination_address, e.destination_port, e.image, e.command_line, e.user].join(
    "\u0000",
  );

const listenerKey = (e: ListenerEvent): string =>
  [e.protocol, e.address, e.port, e.image, e.command_line, e.user, e.application_protocol, e.channel].join("\u0000");

export function addProcess(window: OpenWindow, event: ProcessEvent, at: number): void {
  fold(window, "processes", window.processes, processKey(event), at, (times) => ({ event, times }));
}

export function addListener(window: OpenWindow, event: ListenerEvent, at: number): void {
  fold(window, "listeners", window.listeners, listenerKey(event), at, (times) => ({ event, times }));
}

export function addConnection(window: OpenWindow, event: ConnectionEvent, at: number): void {
  const first = (times: OpenTimes): FoldedConnection => ({ event, times, connections: new Set() });
  const connections = fold(window, "connections", window.connections, connectionKey(event), at, first)?.connections;
  if (connections && connections.size < connections_per_observation_max) {
    connections.add(connectionId(event.opened_at - window.start, event.source_port));
  }
}

function fold<F extends { readonly times: OpenTimes }>(
  window: OpenWindow,
  kind: TelemetryKind,
  into: Map<string, F>,
  key: string,
  at: number,
  first: (times: OpenTimes) => F,
): F | undefined {
  window.windowed[kind]++;
  const known = into.get(key);
  if (known) {
    window.folded[kind]++;
    addTime(known.times, at, window.start);
    return known;
  }
  if (window.distinct[kind] >= observations_per_kind_max) {
    window.cut[kind]++;
    return undefined;
  }
  window.distinct[kind]++;
  const fresh = first(startTimes(at, window.start));
  into.set(key, fresh);
  return fresh;
}

/** Exact for openings within two years of the window; a host uses a port for one connection to a destination at a time. */
function connectionId(opened_ms: number, port: number): number {
  return opened_ms * 65_536 + port;
}

/** Partial without naming fields: whole events may be missing. */
function badness({ status, missing_fields }: CollectorState): number {
  if (status === "ok") return 0;
  if (status === "failed") return 3;
  return missing_fields.length > 0 ? 1 : 2;
}

/** Keeps the worst state that each collector was in. */
export function noteCollectors(window: OpenWindow, states: readonly CollectorState[]): void {
  for (const state of states) {
    const known = Object.hasOwn(window.collectors, state.collector) ? window.collectors[state.collector] : undefined;
    if (!known || badness(state) > badness(known)) window.collectors[state.collector] = state;
  }
}

/** The agent watched during [from, to). A gap inside the window leaves the later piece: coverage is never overstated. */
export function extendCoverage(window: OpenWindow, from: number, to: number, window_ms: number): void {
  const start = Math.max(window.start, from);
  const end = Math.min(window.start + window_ms, to);
  if (end <= start) return;
  if (window.covered_to === window.covered_from || start > window.covered_to) {
    window.covered_from = start;
    window.covered_to = end;
  } else {
    window.covered_from = Math.min(window.covered_from, start);
    window.covered_to = Math.max(window.covered_to, end);
  }
}

export function kindCounts(window: OpenWindow, duplicates: Record<TelemetryKind, number>): KindCount[] {
  return telemetryKinds.map((kind) => ({
    kind,
    windowed: window.windowed[kind],
    folded: window.folded[kind],
    cut: window.cut[kind],
    duplicates: duplicates[kind],
  }));
}

/** As JSON: without the keys, which follow from the events. */
export interface StoredWindow extends Omit<OpenWindow, TelemetryKind> {
  readonly processes: readonly Folded<ProcessEvent>[];
  readonly connections: readonly (Folded<ConnectionEvent> & { readonly connections: readonly number[] })[];
  readonly listeners: readonly Folded<ListenerEvent>[];
}

export function storeWindow(window: OpenWindow): StoredWindow {
  const { processes, connections, listeners } = window;
  return {
    ...window,
    processes: [...processes.values()],
    connections: Array.from(connections.values(), (c) => ({ ...c, connections: [...c.connections] })),
    listeners: [...listeners.values()],
  };
}

export function restoreWindow(stored: StoredWindow): OpenWindow {
  const { processes, connections, listeners } = stored;
  return {
    ...stored,
    processes: new Map(processes.map((p) => [processKey(p.event), p])),
    connections: new Map(connections.map((c) => [connectionKey(c.event), { ...c, connections: new Set(c.connections) }])),
    listeners: new Map(listeners.map((l) => [listenerKey(l.event), l])),
  };
}
