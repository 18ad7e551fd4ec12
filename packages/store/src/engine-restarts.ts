/**
 * When an engine that died is started again, and when no more.
 *
 * A death on a full disk is no sign that the engine is broken: it is tried again, with growing pauses, for as long as it takes.
 */

export interface Deaths {
  readonly in_row: number;
  /** Before the next start. */
  readonly pause_ms: number;
}

export const no_deaths: Deaths = { in_row: 0, pause_ms: 100 };
export const restarts_max = 10;
/** Deaths count as in a row unless it was ready this long between them. */
export const healthy_ms = 60_000;
const pause_max_ms = 10_000;

export interface DeathFacts {
  readonly disk_full: boolean;
  /** How long it had been ready; 0 where it never was. */
  readonly ready_ms: number;
}

/** undefined: it died too often. The pause of what is returned is that before the start after this one. */
export function afterDeath(
  before: Deaths,
  { disk_full, ready_ms }: DeathFacts,
): { pause_ms: number; deaths: Deaths } | undefined {
  const { in_row, pause_ms } = ready_ms >= healthy_ms ? no_deaths : before;
  const deaths = { in_row: disk_full ? in_row : in_row + 1, pause_ms: Math.min(pause_ms * 2, pause_max_ms) };
  return deaths.in_row > restarts_max ? undefined : { pause_ms, deaths };
}
