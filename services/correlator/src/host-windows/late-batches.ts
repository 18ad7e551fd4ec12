/**
 * Batches that come after later ones of their host: an agent never sends them so, but who replays dead letters does. A host's state knows the
 * gaps in what it has seen, so that such a batch is told from a repeat:
 *
 *   in a gap ────────► waits, as it is, for the host's next batch, with which its events count: in windows that are open, or as
 *                      supplements. So parts still leave in the order of their ids, by which readers drop repeats
 *   in none of them ─► a repeat
 */

export type Place = readonly [incarnation: number, seq: number];

/** Between two batches, both of them seen. */
export interface Gap {
  readonly after: Place;
  readonly before: Place;
}

export interface LateBatch {
  /** As it stands in the log, base64. */
  readonly wire: string;
  readonly received_at: number;
}

/** Of one host; with more of them the oldest are forgotten, and what would fill them counts as a repeat. */
export const gaps_max = 100;
/** Of one host's late batches, as they wait; past it they are dead letters again. */
export const late_bytes_max = 4 * 1024 * 1024;

export function isBehind(batch: Place, mark: Place): boolean {
  return batch[0] < mark[0] || (batch[0] === mark[0] && batch[1] <= mark[1]);
}

/** For the batch before, the next that was seen after the other. */
export function noteGap(gaps: Gap[], after: Place, before: Place): void {
  if (!isGap(after, before)) return;
  gaps.push({ after, before });
  if (gaps.length > gaps_max) gaps.shift();
}

export function isMissing(gaps: readonly Gap[], place: Place): boolean {
  return gapOf(gaps, place) !== -1;
}

/** For a place that is missing. */
export function fillGap(gaps: Gap[], place: Place): void {
  const index = gapOf(gaps, place);
  const gap = gaps[index];
  if (!gap) return;
  const left = [
    { after: gap.after, before: place },
    { after: place, before: gap.before },
  ].filter(({ after, before }) => isGap(after, before));
  gaps.splice(index, 1, ...left);
  if (gaps.length > gaps_max) gaps.shift();
}

export function waitingBytes(late: readonly LateBatch[]): number {
  return late.reduce((sum, { wire }) => sum + wire.length, 0);
}

function gapOf(gaps: readonly Gap[], place: Place): number {
  return gaps.findIndex(({ after, before }) => !isBehind(place, after) && isBehind(place, before) && !same(place, before));
}

/** Where the incarnations differ, how far the earlier one went isn't known. */
function isGap(after: Place, before: Place): boolean {
  return after[0] !== before[0] || before[1] > after[1] + 1;
}

function same(a: Place, b: Place): boolean {
  return a[0] === b[0] && a[1] === b[1];
}
