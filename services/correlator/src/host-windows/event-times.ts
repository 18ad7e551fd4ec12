/**
 * The event times of one observation: every one up to times_max, then a count per second of the window. Kept as plain numbers
 * while the window is open (so that a checkpoint is JSON), encoded when it closes.
 */
import type { EventTimes } from "@assay/schemas/generated/types";

export const times_max = 4096;

export interface OpenTimes {
  count: number;
  first: number;
  last: number;
  /** Milliseconds since the window's start, in order of arrival; empty once per_second is in use. */
  offsets: number[];
  per_second: number[];
}

export function startTimes(at: number, window_start: number): OpenTimes {
  return { count: 1, first: at, last: at, offsets: [at - window_start], per_second: [] };
}

export function addTime(times: OpenTimes, at: number, window_start: number): void {
  times.count++;
  if (at < times.first) times.first = at;
  if (at > times.last) times.last = at;
  if (times.per_second.length === 0) {
    times.offsets.push(at - window_start);
    if (times.offsets.length <= times_max) return;
    for (const offset of times.offsets) countSecond(times.per_second, offset);
    times.offsets = [];
    return;
  }
  countSecond(times.per_second, at - window_start);
}

function countSecond(per_second: number[], offset_ms: number): void {
  const second = Math.floor(offset_ms / 1000);
  while (per_second.length <= second) per_second.push(0);
  per_second[second] = (per_second[second] ?? 0) + 1;
}

export function encodeTimes(times: OpenTimes): EventTimes {
  return {
    count: times.count,
    first: times.first,
    last: times.last,
    deltas: encodeDeltas(times.offsets),
    per_second: times.per_second,
  };
}

/** The same times, counted per second where that is shorter. */
export function timesPerSecond(times: EventTimes, window_start: number): EventTimes {
  const per_second: number[] = [];
  for (const at of decodeTimes(times, window_start)) countSecond(per_second, at - window_start);
  return times.deltas.length > 2 * per_second.length ? { ...times, deltas: Buffer.alloc(0), per_second } : times;
}

/** Ascending steps, each as unsigned LEB128: seven bits a byte, low ones first. */
function encodeDeltas(offsets: readonly number[]): Buffer {
  const bytes: number[] = [];
  let before = 0;
  for (const offset of [...offsets].sort((a, b) => a - b)) {
    let step = offset - before;
    before = offset;
    while (step > 0x7f) {
      bytes.push((step & 0x7f) | 0x80);
      step = Math.floor(step / 128);
    }
    bytes.push(step);
  }
  return Buffer.from(bytes);
}

/** Event times of an encoded observation, ascending; where it counts per second, the start of the second, once per event. */
export function decodeTimes(times: EventTimes, window_start: number): number[] {
  if (times.per_second.length > 0) {
    return times.per_second.flatMap((n, second) => new Array<number>(n).fill(window_start + second * 1000));
  }
  const decoded: number[] = [];
  let at = window_start;
  let step = 0;
  let factor = 1;
  for (const byte of times.deltas) {
    step += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte & 0x80) continue;
    at += step;
    decoded.push(at);
    step = 0;
    factor = 1;
  }
  return decoded;
}
