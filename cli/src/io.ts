/** What a command sees of the world around it: its outputs, its environment, and Ctrl-C. Tests give their own. */

export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the user who runs the command; 0 is root. */
  readonly uid: number;
  /** Calls back on SIGINT, SIGTERM and SIGHUP, each time, until the returned function is called. */
  readonly onInterrupt: (listener: (signal: NodeJS.Signals) => void) => () => void;
}

export interface Output {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width of the terminal in characters. */
  columns(): number;
}

export const exitCodes = {
  ok: 0,
  /** The command failed, its accounts don't add up, or --fail-on was met. */
  failed: 1,
  usage: 2,
  not_assessed: 3,
  interrupted: 130,
} as const;

/** An error whose message is for the user as it stands: what, the value, the limit and the setting. */
export class UserError extends Error {
  override readonly name = "UserError";
}

export function processIo(): Io {
  return {
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    env: process.env,
    uid: process.getuid?.() ?? -1,
    onInterrupt(listener) {
      const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
  };
}

const columns_default = 80;

function output(stream: NodeJS.WriteStream): Output {
  // A reader that went away (`assay audit | head`) is no reason to fail, and there is nobody left to tell.
  stream.on("error", () => undefined);
  return {
    write: (text) => void stream.write(text),
    isTTY: stream.isTTY === true,
    columns: () => stream.columns || columns_default,
  };
}
