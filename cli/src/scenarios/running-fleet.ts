/**
 * Assay as a fleet has it, under test: `assay setup`, then every service as processes of their own on the Kafka and the ClickHouse that the
 * settings name.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import type { AuditReport } from "../audit/table";
import type { ServiceName } from "../embedded/thread-messages";
import { freePort, until } from "./running-assay";
import type { ApiAccess } from "./scenario-api";
import { onlySettings, ServiceProcess } from "./service-process";

const program = join(__dirname, "../../bin/assay.js");
const output_bytes_max = 64 * 1024 * 1024;

export interface FleetPlan {
  /** ASSAY_…: where Kafka, registry and ClickHouse are, and what else every process is to be told. */
  readonly env: Readonly<Record<string, string>>;
  /** One of each where it isn't said. */
  readonly replicas?: Readonly<Partial<Record<ServiceName, number>>>;
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class RunningFleet implements ApiAccess {
  readonly processes: ServiceProcess[] = [];
  readonly enrol_secret = randomBytes(24).toString("base64url");
  private readonly api_key = randomBytes(24).toString("base64url");
  private readonly ports = { ingest: 0, report_api: 0 };
  private readonly abandon = () => {
    for (const process of this.processes) process.abandon();
  };

  constructor(private readonly plan: FleetPlan) {}

  /** Resolves when all are ready. What has started is owed a stop also where it rejects. */
  async start(ready_wait_ms: number): Promise<void> {
    process.once("exit", this.abandon);
    this.ports.ingest = await freePort();
    this.ports.report_api = await freePort();
    await this.setUp([]); // services wait for it
    const one_of_each = { ingest: 1, correlator: 1, evaluator: 1, "report-api": 1 } as const;
    for (const [name, count] of Object.entries({ ...one_of_each, ...this.plan.replicas })) {
      for (let i = 0; i < count; i++) await this.add(name as ServiceName);
    }
    await this.ready(ready_wait_ms);
    await this.setUp(["--wait", "60s"]); // until the rule packages are in force
  }

  private async setUp(args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.run(["setup", ...args]);
    if (code !== 0) throw new Error(`assay setup ended with ${code}: ${stdout}${stderr}`);
  }

  /** One more replica, which is starting. */
  async add(name: ServiceName): Promise<ServiceProcess> {
    const metrics_port = await freePort();
    const added = new ServiceProcess(name, `http://127.0.0.1:${metrics_port}`, {
      ...this.env(),
      ASSAY_METRICS_PORT: String(metrics_port),
      ASSAY_INGEST_PORT: String(this.ports.ingest),
      ASSAY_REPORT_API_PORT: String(this.ports.report_api),
    });
    this.processes.push(added);
    added.start();
    return added;
  }

  /** Stops that replica for good; resolves with its exit code. */
  async remove(removed: ServiceProcess): Promise<number | null> {
    this.processes.splice(this.processes.indexOf(removed), 1);
    return removed.stop();
  }

  of(name: ServiceName): ServiceProcess[] {
    return this.processes.filter((process) => process.name === name);
  }

  byPid(pid: number): ServiceProcess {
    const found = this.processes.find((process) => process.pid === pid);
    if (!found) throw new Error(`process ${pid} is none of the fleet's`);
    return found;
  }

  pids(): number[] {
    return this.processes.flatMap(({ pid }) => pid ?? []);
  }

  async ready(wait_ms: number): Promise<void> {
    const missing = new Set<ServiceProcess>();
    await until(
      wait_ms,
      () => `not ready:\n${[...missing].map((process) => `${process.name}: ${process.output()}`).join("\n")}`,
      async () => {
        missing.clear();
        for (const process of this.processes) {
          if (!(await process.isReady().catch(() => false))) missing.add(process);
        }
        return missing.size === 0;
      },
    );
  }

  get ingest_url(): string {
    return `http://127.0.0.1:${this.ports.ingest}`;
  }
  get report_api_url(): string {
    return `http://127.0.0.1:${this.ports.report_api}`;
  }
  key(): string {
    return this.api_key;
  }

  async audit(): Promise<AuditReport> {
    const { stdout, stderr } = await this.run(["audit", "--format", "json"]);
    if (stdout === "") throw new Error(`assay audit failed: ${stderr}`);
    return JSON.parse(stdout) as AuditReport;
  }

  /** A command of the CLI, with the fleet's settings. */
  async run(args: readonly string[]): Promise<Ran> {
    const options = { env: onlySettings(this.env()), maxBuffer: output_bytes_max };
    try {
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args], options);
      return { code: 0, stdout, stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
      if (typeof code !== "number") throw error;
      return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
    }
  }

  /** Stops all, those first that bring work to the others. Resolves with their exit codes. */
  async stop(): Promise<readonly (number | null)[]> {
    const codes: (number | null)[] = [];
    for (const name of ["ingest", "correlator", "evaluator", "report-api"] as const) {
      codes.push(...(await Promise.all(this.of(name).map((process) => process.stop()))));
    }
    process.off("exit", this.abandon);
    return codes;
  }

  private env(): Record<string, string> {
    return { ...this.plan.env, ASSAY_ENROL_SECRET: this.enrol_secret, ASSAY_API_KEY: this.api_key };
  }
}
