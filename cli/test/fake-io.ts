/** An Io that keeps what was written, and interrupts when told to. */
import type { Io } from "@assay/cli/io";

export interface FakeIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
  interrupt(): void;
}

export function fakeIo(env: Record<string, string> = {}): FakeIo {
  const out: string[] = [];
  const err: string[] = [];
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  const into = (lines: string[]) => ({ write: (text: string) => void lines.push(text), isTTY: false, columns: () => 100 });
  return {
    stdout: into(out),
    stderr: into(err),
    env,
    uid: process.getuid?.() ?? -1,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    out: () => out.join(""),
    err: () => err.join(""),
    interrupt: () => {
      for (const listener of listeners) listener("SIGINT");
    },
  };
}
