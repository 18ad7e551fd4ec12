/** An agent of its own beside the embedded one: the real program, for another host id, sending where it is told. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentScript } from "../embedded/code-paths";

export class RealAgent {
  private child: ChildProcess | undefined;
  private said = "";

  constructor(
    readonly host_id: string,
    private readonly state: string,
    private readonly ingest_url: string,
    private readonly enrol_secret: string,
  ) {}

  start(): void {
    mkdirSync(this.state, { recursive: true, mode: 0o700 });
    // Two agents of one machine would have the same id.
    writeFileSync(join(this.state, "host-id"), this.host_id, { mode: 0o600 });
    const child = spawn(process.execPath, [agentScript], {
      stdio: ["pipe", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH,
        ASSAY_AGENT_INGEST_URL: this.ingest_url,
        ASSAY_AGENT_STATE: this.state,
        ASSAY_AGENT_ENROL_SECRET: this.enrol_secret,
        ASSAY_AGENT_HOST_NAME: this.host_id,
        ASSAY_AGENT_RETRY_MAX_MS: "2000",
        ASSAY_AGENT_PROBE_LISTENERS: "false",
        ASSAY_AGENT_WITH_PARENT: "true",
      },
    });
    const keep = (chunk: Buffer) => {
      this.said = (this.said + chunk.toString()).slice(-said_length_max);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    this.child = child;
  }

  output(): string {
    return this.said;
  }

  pid(): number | undefined {
    return this.child?.exitCode === null && this.child.signalCode === null ? this.child.pid : undefined;
  }

  /** Batches that it has on disk, not yet delivered. */
  spooled(): number {
    return readdirSync(join(this.state, "spool/telemetry")).filter((name) => name.endsWith(".avro")).length;
  }

  async stop(): Promise<number | null> {
    const { child } = this;
    if (!child || this.pid() === undefined) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    child.kill("SIGTERM");
    return ended;
  }
}

const said_length_max = 20_000;
