/** Ctrl-C: the first asks for an orderly end, the second ends at once. */
import type { Io } from "./io";

export interface Interrupt {
  /** Aborted by the first. */
  readonly signal: AbortSignal;
  /** Resolves at the first. */
  readonly asked: Promise<void>;
  close(): void;
}

/** atOnce is called at the second; it ends what runs and doesn't wait. */
export function interrupt(io: Io, onFirst: () => void, atOnce: () => void): Interrupt {
  const aborter = new AbortController();
  let resolve: () => void = () => undefined;
  const asked = new Promise<void>((settle) => {
    resolve = settle;
  });
  let first_at = 0;
  const close = io.onInterrupt(() => {
    if (aborter.signal.aborted) {
      if (performance.now() - first_at >= same_press_ms) atOnce();
      return;
    }
    first_at = performance.now();
    onFirst();
    aborter.abort();
    resolve();
  });
  return { signal: aborter.signal, asked, close };
}

/** One press may come twice: from the terminal, and passed on by npm, npx or a service manager. */
const same_press_ms = 300;
