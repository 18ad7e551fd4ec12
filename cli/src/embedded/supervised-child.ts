/**
 * A child process that is kept running.
 *
 *   starting ──spawned──▶ running ──ended──▶ waiting (backoff) ──▶ starting
 *      ▲                     │                  └─ restarts_max within restarts_window_ms ──▶ failed
 *      └─────────────────────┴── stop() ──▶ stopping ──ended, or killed after its wait──▶ stopped
 *
 * The child holds the other end of its stdin: when this process is gone, however it went, the child sees the end of it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { LogFile } from "./log-file";

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
  /** It ended without being asked to; it is started again after wait_ms. */
  readonly onRestart: (how: string, wait_ms: number) => void;
}

export const restarts_max = 10;
export const restarts_window_ms = 600_000;
const backoff_first_ms = 500;
const backoff_max_ms = 15_000;
/** Kept of what it last wrote to its log, for the error. */
const last_words_bytes_max = 2_000;

export class SupervisedChild {
  /** Rejects when it ended too often; never resolves. */
  readonly failed: Promise<never>;
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private stopping = false;
  private restartedAt: number[] = [];
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
      const end = (how: string) => {
        if (over) return;
        over = true;
        this.child = undefined;
        resolve();
        if (!this.stopping) this.restart(how);
      };
      child.once("error", (error) => end(error.message));
      child.once("close", (code, signal) => end(signal ? `killed by ${signal}` : `exit code ${code}`));
    });
    plan.onStart?.(child);
  }

  private restart(how: string): void {
    const now = Date.now();
    this.restartedAt = [...this.restartedAt.filter((at) => now - at < restarts_window_ms), now];
    if (this.restartedAt.length > restarts_max) {
      this.fail(new ChildFailedError(this.plan, how, this.lastWords));
      return;
    }
    const wait_ms = Math.min(backoff_max_ms, backoff_first_ms * 2 ** (this.restartedAt.length - 1));
    this.plan.onRestart(how, wait_ms);
    this.timer = setTimeout(() => this.start(), wait_ms);
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
