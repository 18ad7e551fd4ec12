/**
 * A service in a worker thread. One that fails takes the whole process with it, and the supervisor starts that again: a thread that
 * dies may have held the log's write lock, which only the end of the process is sure to give back.
 */
import { Worker } from "node:worker_threads";
import type { Logger } from "@assay/runtime/logger";
import type { MetricsSnapshot } from "@assay/runtime/metrics";
import { askMetrics } from "@assay/runtime/metrics-port";
import type { Readiness } from "@assay/runtime/service";
import { DiskFullError } from "@assay/store/disk-full";
import { threadScript } from "./code-paths";
import type { FromThread, ThreadPlan, ToThread } from "./thread-messages";

export interface ThreadLimits {
  readonly start_wait_ms: number;
  readonly stop_wait_ms: number;
}

const limits_default: ThreadLimits = { start_wait_ms: 60_000, stop_wait_ms: 10_000 };
const metrics_wait_ms = 1_000;

export class ServiceThread {
  /** Rejects when the thread has ended without having been asked to. */
  readonly failed: Promise<never>;
  private fail: (error: Error) => void = () => undefined;
  private worker: Worker | undefined;
  private up = false;
  private stopping = false;
  private stopped: Promise<void> | undefined;
  private lastFailure = "it is starting";
  private nextRequest = 1;

  constructor(
    private readonly name: string,
    private readonly plan: ThreadPlan,
    private readonly logger: Logger,
    private readonly limits: ThreadLimits = limits_default,
  ) {
    this.failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  /** Resolves with its port, if it has one, once it works. Rejects when it can't start. Called once. */
  start(): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(threadScript, { workerData: this.plan, name: this.name });
      this.worker = worker;
      let over = false;
      const late = setTimeout(() => {
        end(`it did not start within ${this.limits.start_wait_ms / 1_000} s`);
        void worker.terminate();
      }, this.limits.start_wait_ms);
      const end = (why: string, disk_full = false) => {
        if (over) return;
        over = true;
        clearTimeout(late);
        const wasUp = this.up;
        this.up = false;
        this.worker = undefined;
        this.lastFailure = why;
        const Failure = disk_full ? DiskFullError : Error;
        const failure = new Failure(`${this.name}: ${why}`);
        if (!wasUp) reject(failure);
        else if (!this.stopping) this.fail(failure);
      };
      worker.on("message", (message: FromThread) => {
        if (message.tag === "started") {
          clearTimeout(late);
          this.up = true;
          resolve(message.port);
        } else if (message.tag === "failed") end(message.message, message.disk_full);
      });
      worker.on("error", (error) => end(error instanceof Error ? error.message : String(error)));
      worker.on("exit", (code) => end(`its thread ended with code ${code}`));
    });
  }

  async ready(): Promise<Readiness> {
    const { worker } = this;
    if (!worker || !this.up) return { ready: false, reason: this.lastFailure };
    const id = this.nextRequest++;
    return new Promise((resolve) => {
      const settle = (readiness: Readiness) => {
        worker.off("message", onMessage);
        worker.off("exit", onExit);
        resolve(readiness);
      };
      const onMessage = (message: FromThread) => {
        if (message.tag === "readiness" && message.id === id) settle(message.readiness);
      };
      const onExit = () => settle({ ready: false, reason: "its thread has ended" });
      worker.on("message", onMessage);
      worker.on("exit", onExit);
      worker.postMessage({ tag: "ready_request", id } satisfies ToThread);
    });
  }

  /** Empty while it is down, or too busy to answer: the other services' metrics are still worth having. */
  async metrics(): Promise<MetricsSnapshot> {
    if (!this.worker || !this.up) return [];
    return askMetrics(this.worker, metrics_wait_ms).catch(() => []);
  }

  /** Lets it finish its work in hand, for at most stop_wait_ms. */
  async stop(): Promise<void> {
    this.stopping = true;
    // A second stop would find the service in the midst of the first.
    if (this.worker) this.stopped ??= this.end(this.worker);
    await this.stopped;
  }

  private async end(worker: Worker): Promise<void> {
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    worker.postMessage({ tag: "stop" } satisfies ToThread);
    const late = setTimeout(() => {
      this.logger.warn(
        { name: this.name, stop_wait_ms: this.limits.stop_wait_ms },
        "a service did not stop in time, its thread ends now",
      );
      void worker.terminate();
    }, this.limits.stop_wait_ms);
    await ended;
    clearTimeout(late);
  }
}
