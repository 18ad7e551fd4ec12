/** An Io that keeps what was written, and interrupts when told to. */
import type { Io } from "@assay/cli/io";

export interface FakeIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
  interrupt(): void;
}

export function fakeIo(env: Record<string, string> = {}): FakeIo {
  let out = "";
  let err = "";
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  return {
    stdout: { write: (text) => void (out += text), isTTY: false, columns: () => 100 },
    stderr: { write: (text) => void (err += text), isTTY: false, columns: () => 100 },
    env,
    uid: process.getuid?.() ?? -1,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    out: () => out,
    err: () => err,
    interrupt: () => {
      for (const listener of listeners) listener("SIGINT");
    },
  };
}
