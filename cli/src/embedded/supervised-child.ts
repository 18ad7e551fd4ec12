/**
 * A child process that is kept running.
 *
 *   starting ──spawned──▶ running ──ended──▶ waiting (backoff) ──▶ starting
 *      ▲                     │                  └─ too often (restart-decision.ts) ──▶ failed
 *      └─────────────────────┴── stop() ──▶ stopping ──ended, or killed after its wait──▶ stopped
 *
 * The child holds the other end of its stdin: when this process is gone, however it went, the child sees the end of it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { LogFile } from "./log-file";
import { afterEnd, no_restarts, restarts_max, restarts_window_ms } from "./restart-decision";

export interface ChildPlan {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly log: LogFile;
  /** Out of reach of the terminal's signals. */
  readonly own_group?: boolean;
  /** Asks it to end; SIGKILL follows after stop_wait_ms. */
  readonly askToStop: (child: ChildProcess) => void;
  readonly stop_wait_ms: number;
  /** After each start, before anything is heard from it. */
  readonly onStart?: (child: ChildProcess) => void;
  readonly onMessage?: (message: unknown) => void;
  /** Whether it ended for want of room on the disk; code: its exit code. Then it is started again without limit. */
  readonly endedWithoutRoom?: (code: number | null) => boolean;
  /** It ended without being asked to. */
  readonly onRestart: (how: string, restart: Restart) => void;
}

export interface Restart {
  /** Until it is started again. */
  readonly wait_ms: number;
  /** Ends in a row for want of room on the disk, with this one; 0: it ended of something else. */
  readonly without_room: number;
}

/** Kept of what it last wrote to its log, for the error. */
const last_words_bytes_max = 2_000;

export class SupervisedChild {
  /** Rejects when it ended too often; never resolves. */
  readonly failed: Promise<never>;
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private stopping = false;
  private restarts = no_restarts;
  private waiting: Restart | undefined;
  private lastWords = "";
  private fail: (error: Error) => void = () => undefined;

  constructor(private readonly plan: ChildPlan) {
    this.failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => undefined); // heard where it is awaited, if it is
    this.start();
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** While it waits for room on the disk. */
  get waits_for_room(): boolean {
    return this.waiting !== undefined && this.waiting.without_room > 0;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    const { child } = this;
    if (!child) return;
    this.plan.askToStop(child);
    const late = setTimeout(() => child.kill("SIGKILL"), this.plan.stop_wait_ms);
    await this.exited;
    clearTimeout(late);
  }

  killNow(): void {
    this.stopping = true;
    clearTimeout(this.timer);
    this.child?.kill("SIGKILL");
  }

  private start(): void {
    const { plan } = this;
    const started_at = Date.now();
    this.waiting = undefined;
    const [file = "", ...args] = plan.command;
    const child = spawn(file, args, {
      stdio: plan.onMessage ? ["pipe", "pipe", "pipe", "ipc"] : ["pipe", "pipe", "pipe"],
      env: { ...plan.env },
      cwd: "/",
      detached: plan.own_group === true,
      ...plan.user,
    });
    this.child = child;
    const write = (chunk: Buffer) => {
      plan.log.write(chunk);
      this.lastWords = (this.lastWords + chunk.toString()).slice(-last_words_bytes_max);
    };
    child.stdout?.on("data", write);
    child.stderr?.on("data", write);
    child.stdin?.on("error", () => undefined); // it ended first
    if (plan.onMessage) child.on("message", plan.onMessage);
    this.exited = new Promise((resolve) => {
      let over = false;
      const end = (how: string, code: number | null) => {
        if (over) return;
        over = true;
        this.child = undefined;
        resolve();
        if (!this.stopping) this.restart(how, code, started_at);
      };
      child.once("error", (error) => end(error.message, null));
      child.once("close", (code, signal) => end(signal ? `killed by ${signal}` : `exit code ${code}`, code));
    });
    plan.onStart?.(child);
  }

  private restart(how: string, code: number | null, started_at: number): void {
    const now = Date.now();
    const disk_full = this.plan.endedWithoutRoom?.(code) === true;
    const next = afterEnd(this.restarts, { disk_full, ran_ms: now - started_at }, now);
    if (next === undefined) {
      this.fail(new ChildFailedError(this.plan, how, this.lastWords));
      return;
    }
    this.restarts = next.restarts;
    this.waiting = { wait_ms: next.wait_ms, without_room: next.restarts.without_room };
    this.plan.onRestart(how, this.waiting);
    this.timer = setTimeout(() => this.start(), next.wait_ms);
  }
}

export class ChildFailedError extends Error {
  override readonly name = "ChildFailedError";
  constructor(plan: ChildPlan, how: string, lastWords: string) {
    const said = lastWords.trim().split("\n").at(-1) ?? "";
    super(
      `the ${plan.name} ended ${restarts_max + 1} times within ${restarts_window_ms / 60_000} minutes, last with ${how}; its log is ${plan.log.path}${said === "" ? "" : `, and ends with: ${said}`}`,
    );
  }
}
