/**
 * The agent's clock never goes back: event times order what happened. It follows the host's clock forward; where that is set back, it
 * goes on at the monotonic clock's pace, and ingest corrects the difference by sent_at, which is taken from here as well.
 */
export function createClock(wall: () => number = Date.now, monotonic: () => number = () => performance.now()): () => number {
  let base = wall() - monotonic();
  return () => {
    base = Math.max(base, wall() - monotonic());
    return Math.round(base + monotonic());
  };
}
