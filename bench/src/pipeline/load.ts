/** The load's process, as the benchmark sees it. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Life } from "./life";

export interface LoadPlan {
  readonly ingest_urls: readonly string[];
  readonly enrol_secret: string;
  readonly hosts: number;
  readonly life: Life;
  readonly lateness_ms: number;
  readonly run_ms: number;
}

export type ToLoad = { readonly type: "plan"; readonly plan: LoadPlan };
export type FromLoad =
  /** Event times begin at run_start, milliseconds since 1970, and so does the sending. */
  | { readonly type: "prepared"; readonly run_start: number; readonly bytes: number }
  | {
      readonly type: "progress";
      readonly batches: number;
      readonly attempts: number;
      readonly events: number;
      readonly late_ms_max: number;
    }
  | { readonly type: "sent"; readonly now: number; readonly marked: Readonly<Record<string, readonly number[]>> }
  | { readonly type: "closed" };

type MessageOf<T extends FromLoad["type"]> = Extract<FromLoad, { readonly type: T }>;

export class Load {
  private readonly child: ChildProcess;
  private readonly seen = new Map<FromLoad["type"], FromLoad>();
  private readonly listeners = new Set<() => void>();
  private ended_by: string | undefined;

  constructor(plan: LoadPlan) {
    this.child = fork(join(__dirname, "load-main.js"), { execArgv: ["--max-old-space-size=8192"] });
    this.child.on("message", (message: FromLoad) => {
      this.seen.set(message.type, message);
      for (const listener of this.listeners) listener();
    });
    this.child.on("exit", (code, signal) => {
      this.ended_by = `code ${code}, signal ${signal}`;
      for (const listener of this.listeners) listener();
    });
    this.child.send({ type: "plan", plan } satisfies ToLoad);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  latest<T extends FromLoad["type"]>(type: T): MessageOf<T> | undefined {
    return this.seen.get(type) as MessageOf<T> | undefined;
  }

  /** Rejects where the process ends before it says so. */
  until<T extends FromLoad["type"]>(type: T): Promise<MessageOf<T>> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const message = this.latest(type);
        if (!message && this.ended_by === undefined) return;
        this.listeners.delete(look);
        if (message) resolve(message);
        else reject(new Error(`the load's process ended (${this.ended_by}) before it was ${type}`));
      };
      this.listeners.add(look);
      look();
    });
  }

  stop(): void {
    if (this.ended_by === undefined) this.child.kill("SIGKILL");
  }
}
