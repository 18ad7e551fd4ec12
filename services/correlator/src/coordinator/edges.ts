/** Window edges: where membership, packages and assessments may change. */

/** Windows between a command's being decided and the edge from which it holds, so that no window closes before it is known. */
export const lead_windows = 2;

export function nextEdge(at: number, window_ms: number): number {
  return Math.ceil(at / window_ms) * window_ms;
}

/** The first edge at least two windows after. */
export function effectiveEdge(decided_at: number, window_ms: number): number {
  return nextEdge(decided_at + lead_windows * window_ms, window_ms);
}
