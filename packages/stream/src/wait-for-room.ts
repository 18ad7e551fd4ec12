/** What reads the log makes room in it by getting on, so it must not end for want of room: it waits, and does the same again. */
import { setTimeout as sleep } from "node:timers/promises";
import { LogFullError } from "./log";

/** Between two attempts. */
const room_wait_ms = 500;

export interface Waiting {
  /** Then it no longer waits, and LogFullError is thrown on. */
  readonly stopping: () => boolean;
  /** Called once, when the waiting begins. */
  readonly onFull: (error: LogFullError) => void;
}

/** work must bear to be done again: an append, a commit, a block for a sink. */
export async function waitForRoom<T>(work: () => Promise<T>, { stopping, onFull }: Waiting): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (stopping() || !(error instanceof LogFullError)) throw error;
      if (tries === 1) onFull(error);
      await sleep(room_wait_ms);
    }
  }
}
