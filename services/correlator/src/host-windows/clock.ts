/** Correction of an agent's clock by the time between a batch's sending and its acceptance. */

/** Within this the agent's clock is taken as it is: network and queueing make such a difference by themselves. */
export const clock_offset_ms_min = 5_000;

/**
 * What to add to the times of a batch. A correction stays as it is until it is off by more than the minimum, so that jitter
 * of the network doesn't move event times about.
 */
export function clockOffset(current_ms: number, sent_at: number, received_at: number): number {
  const skew = received_at - sent_at;
  if (current_ms !== 0 && Math.abs(skew - current_ms) <= clock_offset_ms_min && Math.abs(skew) > clock_offset_ms_min)
    return current_ms;
  return Math.abs(skew) > clock_offset_ms_min ? skew : 0;
}
