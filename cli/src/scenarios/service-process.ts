/** One `assay service` under test, as an orchestrator keeps it: started again whenever it ends, until it is stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { ServiceName } from "../embedded/thread-messages";

const program = join(__dirname, "../../bin/assay.js");
const restart_pause_ms = 500;
const said_length_max = 40_000;

/** Not what this process was started with: its settings are not the fleet's. */
export function onlySettings(env: Readonly<Record<string, string>>): Record<string, string> {
  const { PATH } = process.env;
  return { ...(PATH === undefined ? {} : { PATH }), ...env };
}

export class ServiceProcess {
  /** How often it was started again. */
  restarts = 0;
  private child: ChildProcess | undefined;
  private ended: Promise<number | null> = Promise.resolve(null);
  private wanted = false;
  private restart: NodeJS.Timeout | undefined;
  private text = "";

  constructor(
    readonly name: ServiceName,
    readonly metrics_url: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  start(): void {
    this.wanted = true;
    const child = spawn(process.execPath, [program, "service", this.name], {
      stdio: ["ignore", "pipe", "pipe"],
      env: onlySettings(this.env),
    });
    const keep = (chunk: Buffer) => {
      this.text = (this.text + chunk.toString()).slice(-said_length_max);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.text += `\n(${this.name} ${child.pid} ended with ${code ?? signal})\n`;
        this.child = undefined;
        resolve(code);
        if (!this.wanted) return;
        this.restarts++;
        this.restart = setTimeout(() => this.start(), restart_pause_ms);
      });
    });
  }

  /** Undefined while it isn't running. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** What it said lately. */
  output(): string {
    return this.text;
  }

  async isReady(): Promise<boolean> {
    return this.child !== undefined && (await fetch(`${this.metrics_url}/ready`)).ok;
  }

  /** kill -9; resolves when it is gone. It is started again. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.ended;
  }

  /** SIGTERM; resolves with the exit code, null where it didn't run. */
  async stop(): Promise<number | null> {
    this.wanted = false;
    clearTimeout(this.restart);
    if (!this.child) return null;
    this.child.kill("SIGTERM");
    return this.ended;
  }

  /** At once, for the end of a process that can't wait. */
  abandon(): void {
    this.wanted = false;
    clearTimeout(this.restart);
    this.child?.kill("SIGKILL");
  }
}
