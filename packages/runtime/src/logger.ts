/**
 * Log lines of a service: one JSON object per line on stderr, one per fact that an operator acts on. Messages are fixed, what
 * varies stands in fields. Fields that hold secrets by their name are cut, one level deep too.
 */
import pino, { type DestinationStream, type LevelWithSilent, type Logger } from "pino";

export type { Logger } from "pino";

export const logLevels = [
  "fatal",
  "error",
  "warn",
  "info",
  "debug",
  "trace",
  "silent",
] as const satisfies readonly LevelWithSilent[];
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  readonly service: string;
  readonly level?: LogLevel;
  /** Stderr where left out. */
  readonly destination?: DestinationStream;
}

/** Lines are written at once: what was logged before a crash is there, and worker threads need no turn of the main thread's loop. */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level ?? "info",
      base: { service: options.service },
      messageKey: "message",
      errorKey: "error",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: "[secret]" },
    },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
}

const secretFields = ["secret", "password", "credential", "api_key", "token", "authorization", "cookie"];
