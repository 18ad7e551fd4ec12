/** Tells the sources in every thread of the process that something was written. */
import { BroadcastChannel } from "node:worker_threads";

export interface Wakes {
  notify(): void;
  /** Resolves at the next notice from any thread, or after wait_ms. */
  wait(wait_ms: number): Promise<void>;
  close(): void;
}

export function openWakes(directory: string): Wakes {
  const channel = new BroadcastChannel(`assay-log ${directory}`);
  channel.unref();
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const resolve of [...waiting]) resolve();
  };
  channel.onmessage = wake;
  return {
    notify() {
      wake();
      channel.postMessage(0);
    },
    wait: (wait_ms) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, wait_ms);
        waiting.add(done);
      }),
    close() {
      wake();
      channel.close();
    },
  };
}
