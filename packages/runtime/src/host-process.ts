/**
 * The life of a process that hosts a service:
 *
 *   starting ──started──▶ running ──signal──▶ stopping ──stopped──▶ 0
 *      │  └──signal: aborts the start, then stops what has started
 *      └─ failed ▶ 1        └─ service failed ▶ stops it, 1    └─ deadline passed ▶ 3, second signal ▶ 128 + its number
 *
 * An error that nobody caught leaves the state unknown: it is logged and the process ends with 1, without a graceful stop.
 * Ending is the caller's: `hostProcess({…}).then((code) => process.exit(code))` in main.ts.
 */
import { constants } from "node:os";
import type { Logger } from "./logger";
import type { RunningService } from "./service";

export interface HostOptions {
  readonly name: string;
  /** The process whose signals and uncaught errors count. */
  readonly process: HostedProcess;
  readonly logger: Logger;
  /** Told to stop while it starts, it rejects or resolves soon: then it is stopped. */
  readonly start: (signal: AbortSignal) => Promise<RunningService>;
  /** How long a stop may take. */
  readonly stop_wait_ms: number;
  /** The setting of stop_wait_ms, for the error. */
  readonly stop_wait_setting?: string;
}

export type HostedProcess = Pick<NodeJS.Process, "on" | "off">;

export const exitCodes = { stopped: 0, failed: 1, settings: 2, stop_deadline_passed: 3 } as const;

/** Resolves with the exit code; never rejects. */
export async function hostProcess(options: HostOptions): Promise<number> {
  const { logger, name } = options;
  const watch = watchProcess(options.process);
  try {
    return await Promise.race([watch.endAtOnce.then((end) => endedAtOnce(logger, name, end)), host(options, watch)]);
  } finally {
    watch.close();
  }
}

async function host(options: HostOptions, watch: Watch): Promise<number> {
  const { logger, name } = options;
  const aborter = new AbortController();
  void watch.stopAsked.then((signal) => aborter.abort(new Error(`stopped by ${signal}`)));
  let service: RunningService;
  try {
    const starting = options.start(aborter.signal);
    const late = stopDeadline(watch.stopAsked, options.stop_wait_ms);
    const started = await Promise.race([starting, late.passed]).finally(late.cancel);
    if (started === "deadline") return deadlinePassed(options);
    service = started;
  } catch (error) {
    if (aborter.signal.aborted) return exitCodes.stopped;
    logger.fatal({ error, name }, "could not start");
    return exitCodes.failed;
  }
  logger.info({ name }, "started");
  const outcome = await Promise.race([
    watch.stopAsked.then((signal) => ({ signal, code: exitCodes.stopped })),
    service.ended.then(
      () => ({ signal: undefined, code: exitCodes.stopped }),
      (error: unknown) => {
        logger.fatal({ error, name }, "can't go on");
        return { signal: undefined, code: exitCodes.failed };
      },
    ),
  ]);
  if (outcome.signal !== undefined) logger.info({ name, signal: outcome.signal }, "stopping");
  return stop(options, service, outcome.code);
}

async function stop(options: HostOptions, service: RunningService, code: number): Promise<number> {
  const late = stopDeadline(Promise.resolve(), options.stop_wait_ms);
  try {
    // Once told to stop, a service may still fail; ended then rejects and this hears it first.
    service.ended.catch(() => undefined);
    const done = await Promise.race([service.stop().then(() => "stopped" as const), late.passed]);
    if (done === "deadline") return deadlinePassed(options);
    options.logger.info({ name: options.name }, "stopped");
    return code;
  } catch (error) {
    options.logger.fatal({ error, name: options.name }, "could not stop in order");
    return exitCodes.failed;
  } finally {
    late.cancel();
  }
}

function deadlinePassed(options: HostOptions): number {
  const setting = options.stop_wait_setting === undefined ? {} : { setting: options.stop_wait_setting };
  options.logger.fatal({ name: options.name, stop_wait_ms: options.stop_wait_ms, ...setting }, "did not stop in time, ends now");
  return exitCodes.stop_deadline_passed;
}

/** Counts from when stopping was asked for. */
function stopDeadline(asked: Promise<unknown>, wait_ms: number): { passed: Promise<"deadline">; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let cancelled = false;
  const passed = asked.then(
    () =>
      new Promise<"deadline">((resolve) => {
        if (!cancelled) timer = setTimeout(() => resolve("deadline"), wait_ms);
      }),
  );
  return {
    passed,
    cancel() {
      cancelled = true;
      clearTimeout(timer);
    },
  };
}

type EndAtOnce =
  | { readonly kind: "signal"; readonly signal: StopSignal }
  | { readonly kind: "uncaught"; readonly error: unknown };
type StopSignal = "SIGTERM" | "SIGINT";
const stopSignals: readonly StopSignal[] = ["SIGTERM", "SIGINT"];

interface Watch {
  /** The first signal. */
  readonly stopAsked: Promise<StopSignal>;
  /** The second signal, or an error that nobody caught. */
  readonly endAtOnce: Promise<EndAtOnce>;
  close(): void;
}

function watchProcess(watched: HostedProcess): Watch {
  const stopAsked = deferred<StopSignal>();
  const endAtOnce = deferred<EndAtOnce>();
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals === 1) stopAsked.resolve(signal as StopSignal);
    else endAtOnce.resolve({ kind: "signal", signal: signal as StopSignal });
  };
  const onUncaught = (error: unknown) => endAtOnce.resolve({ kind: "uncaught", error });
  for (const signal of stopSignals) watched.on(signal, onSignal);
  watched.on("uncaughtException", onUncaught);
  watched.on("unhandledRejection", onUncaught);
  return {
    stopAsked: stopAsked.promise,
    endAtOnce: endAtOnce.promise,
    close() {
      for (const signal of stopSignals) watched.off(signal, onSignal);
      watched.off("uncaughtException", onUncaught);
      watched.off("unhandledRejection", onUncaught);
    },
  };
}

function endedAtOnce(logger: Logger, name: string, end: EndAtOnce): number {
  if (end.kind === "uncaught") {
    logger.fatal({ error: end.error, name }, "an error that nobody caught");
    return exitCodes.failed;
  }
  logger.warn({ name, signal: end.signal }, "second signal, ends at once");
  return 128 + constants.signals[end.signal];
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
