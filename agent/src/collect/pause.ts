import { setTimeout } from "node:timers/promises";

/** Ends early, without an error, when it is aborted. */
export function pause(wait_ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(wait_ms, undefined, { signal }).catch(() => undefined);
}
