/**
 * When a child that ended is started again, and when no more. Ends for want of room on the disk don't count: they say nothing about the
 * child, and pass when somebody makes room.
 */

export interface Restarts {
  /** When it was started again after an end that counts, within restarts_window_ms. */
  readonly counted_at: readonly number[];
  /** Ends in a row for want of room. */
  readonly without_room: number;
}

export interface End {
  readonly disk_full: boolean;
  readonly ran_ms: number;
}

export const no_restarts: Restarts = { counted_at: [], without_room: 0 };
export const restarts_max = 10;
export const restarts_window_ms = 600_000;
/** Ends for want of room are in a row unless it ran this long between them. */
export const healthy_ms = 60_000;
const backoff_first_ms = 500;
const backoff_max_ms = 15_000;

/** undefined: it ended too often. */
export function afterEnd(before: Restarts, end: End, now: number): { wait_ms: number; restarts: Restarts } | undefined {
  const counted_at = before.counted_at.filter((at) => now - at < restarts_window_ms);
  if (end.disk_full) {
    const without_room = (end.ran_ms < healthy_ms ? before.without_room : 0) + 1;
    return { wait_ms: backoff(without_room), restarts: { counted_at, without_room } };
  }
  const counted = [...counted_at, now];
  if (counted.length > restarts_max) return undefined;
  return { wait_ms: backoff(counted.length), restarts: { counted_at: counted, without_room: 0 } };
}

function backoff(ends: number): number {
  return Math.min(backoff_max_ms, backoff_first_ms * 2 ** (ends - 1));
}
