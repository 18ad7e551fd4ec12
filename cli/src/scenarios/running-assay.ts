/** An `assay up` under test: started as a user would, its processes found by /proc, so that each can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { readSecret } from "../embedded/ownership";

export interface AssayPorts {
  readonly report_api: number;
  readonly ingest: number;
  readonly metrics: number;
}

export const processNames = ["supervisor", "services", "engine", "agent"] as const;
export type ProcessName = (typeof processNames)[number];

const program = join(__dirname, "../../bin/assay.js");

export class RunningAssay {
  private child: ChildProcess | undefined;
  private said = "";

  constructor(
    readonly data: string,
    readonly ports: AssayPorts,
    private readonly env: Readonly<Record<string, string>> = {},
  ) {}

  start(): void {
    this.said = "";
    const child = spawn(process.execPath, [program, "up", "--data", this.data, "--port", String(this.ports.report_api)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...this.env,
        ASSAY_INGEST_PORT: String(this.ports.ingest),
        ASSAY_METRICS_PORT: String(this.ports.metrics),
      },
      detached: true,
    });
    this.child = child;
    const keep = (chunk: Buffer) => {
      this.said = (this.said + chunk.toString()).slice(-said_length_max);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
  }

  output(): string {
    return this.said;
  }

  get report_api_url(): string {
    return `http://127.0.0.1:${this.ports.report_api}`;
  }
  get ingest_url(): string {
    return `http://127.0.0.1:${this.ports.ingest}`;
  }
  get metrics_url(): string {
    return `http://127.0.0.1:${this.ports.metrics}`;
  }
  key(): string {
    return readSecret(join(this.data, "report-api.key"), process.getuid?.() ?? -1);
  }
  enrolSecret(): string {
    return readSecret(join(this.data, "enrolment.secret"), process.getuid?.() ?? -1);
  }

  /** Resolves when /ready says so; rejects when the process ended or the time is over. */
  async ready(wait_ms: number): Promise<void> {
    await until(
      wait_ms,
      () => `assay up was not ready; it said:\n${this.said}`,
      async () => {
        if (this.child?.exitCode !== null && this.child?.exitCode !== undefined)
          throw new Error(`assay up ended with ${this.child.exitCode}:\n${this.said}`);
        return (await fetch(`${this.metrics_url}/ready`)).ok;
      },
    );
  }

  /** The process of that name, if it runs. */
  pid(name: ProcessName): number | undefined {
    const supervisor = this.child?.exitCode === null && this.child.signalCode === null ? this.child.pid : undefined;
    if (supervisor === undefined || name === "supervisor") return supervisor;
    const services = childOf(supervisor, "services-main.js");
    if (name === "services") return services;
    if (name === "agent") return childOf(supervisor, join("agent", "dist", "main.js"));
    return services === undefined ? undefined : childOf(services, "engine-child.js");
  }

  pids(): number[] {
    return processNames.flatMap((name) => this.pid(name) ?? []);
  }

  /** kill -9; resolves whether there was such a process. */
  async kill(name: ProcessName): Promise<boolean> {
    const pid = this.pid(name);
    if (pid === undefined) return false;
    const ended = name === "supervisor" ? this.ended() : undefined;
    process.kill(pid, "SIGKILL");
    await ended;
    return true;
  }

  /** As Ctrl-C does; resolves with the exit code. */
  async stop(): Promise<number | null> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = this.ended();
    child.kill("SIGINT");
    return ended;
  }

  ended(): Promise<number | null> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child?.exitCode ?? null);
    return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  }
}

const said_length_max = 20_000;

/** Asks again until it is true. An error of the condition counts as not yet, except the last one, which is told. */
export async function until(
  wait_ms: number,
  failure: string | (() => string),
  condition: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadline = Date.now() + wait_ms;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
      if (error instanceof Error && error.message.startsWith("assay up ended")) throw error;
    }
    if (Date.now() > deadline)
      throw new Error(
        `${typeof failure === "string" ? failure : failure()}${last === undefined ? "" : ` (${String(last)})`} within ${wait_ms} ms`,
      );
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false;
  }
}

export async function freePorts(): Promise<AssayPorts> {
  const servers = [createServer(), createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const address = server.address();
    ports.push(typeof address === "object" && address ? address.port : 0);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  const [report_api = 0, ingest = 0, metrics = 0] = ports;
  return { report_api, ingest, metrics };
}

/** Free at this moment. */
export async function freePort(): Promise<number> {
  const { report_api } = await freePorts();
  return report_api;
}

function childOf(parent: number, script: string): number | undefined {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(ppid) !== parent || state === "Z") continue;
      if (readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(script)) return Number(entry);
    } catch {
      // It has ended meanwhile.
    }
  }
  return undefined;
}
