/** Waits between attempts: doubling to a limit, each drawn at random from the upper half of its range, so that a fleet spreads out. */

export interface BackoffLimits {
  readonly first_ms: number;
  readonly max_ms: number;
}

/** attempt counts failures in a row, from 1; random is in [0, 1). */
export function backoff_ms(attempt: number, limits: BackoffLimits, random: number): number {
  const range = Math.min(limits.max_ms, limits.first_ms * 2 ** Math.min(attempt - 1, doublings_max));
  return Math.round(range / 2 + (range / 2) * random);
}

const doublings_max = 30;
