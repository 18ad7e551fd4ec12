/**
 * Since when each of a host's listeners has been seen, and when it was last used: independent of windows and assessments, so that
 * "nobody used it during the assessment" can be said at its end.
 */
import type { ConnectionEvent, ListenerEvent } from "@assay/schemas/generated/types";

/** Listeners, and ports that were connected to, remembered per host. The least recently seen are forgotten first. */
const remembered_max = 4_096;

export interface ListenersInUse {
  listeners: Record<string, { observed_since: number; last_seen: number }>;
  /** By protocol, destination port and destination address: when a connection to it was last seen. */
  used: Record<string, number>;
}

export const noListeners = (): ListenersInUse => ({ listeners: {}, used: {} });

const listenerKey = (e: Pick<ListenerEvent, "protocol" | "address" | "port">): string => `${e.protocol} ${e.port} ${e.address}`;

/** covered_since: since when the agent has watched without a gap; a listener can't have been observed for longer. */
export function noteListener(state: ListenersInUse, event: ListenerEvent, at: number, covered_since: number): void {
  const key = listenerKey(event);
  const known = state.listeners[key];
  if (known && known.last_seen >= covered_since) {
    known.last_seen = Math.max(known.last_seen, at);
    known.observed_since = Math.min(known.observed_since, Math.max(at, covered_since));
    return;
  }
  state.listeners[key] = { observed_since: at, last_seen: at };
  if (!known) forgetOldest(state.listeners, (l) => l.last_seen);
}

export function noteUse(state: ListenersInUse, event: ConnectionEvent, at: number): void {
  if (event.side !== "destination") return;
  const key = `${event.protocol} ${event.destination_port} ${event.destination_address}`;
  const known = state.used[key];
  state.used[key] = Math.max(known ?? 0, at);
  if (known === undefined) forgetOldest(state.used, (used_at) => used_at);
}

/** 0 where the listener isn't known: a supplement may tell of one that has been forgotten. */
export function observedSince(state: ListenersInUse, event: ListenerEvent): number {
  return state.listeners[listenerKey(event)]?.observed_since ?? 0;
}

export function lastUsedAt(state: ListenersInUse, event: ListenerEvent): number {
  const anyAddress = event.address === "0.0.0.0" || event.address === "::";
  if (!anyAddress) return state.used[listenerKey(event)] ?? 0;
  const prefix = `${event.protocol} ${event.port} `;
  let last = 0;
  for (const [key, at] of Object.entries(state.used)) {
    if (at > last && key.startsWith(prefix)) last = at;
  }
  return last;
}

function forgetOldest<V>(entries: Record<string, V>, age: (value: V) => number): void {
  const keys = Object.keys(entries);
  if (keys.length <= remembered_max) return;
  keys.sort((a, b) => age(entries[a] as V) - age(entries[b] as V));
  for (const key of keys.slice(0, remembered_max / 4)) delete entries[key];
}
