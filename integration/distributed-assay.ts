/**
 * A distributed Assay under test: `assay setup` and each service in a process of its own, as an operator would start them, on a broker of its own,
 * the tests' schema registry, and an embedded ClickHouse engine in the place of a server.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceName } from "@assay/cli/embedded/thread-messages";
import { freePorts, until } from "@assay/cli/scenarios/running-assay";
import type { ApiAccess } from "@assay/cli/scenarios/scenario-api";
import { type Engine, startEngine } from "@assay/store/engine";
import { type PrivateBroker, startPrivateBroker } from "./private-broker";
import { testRegistryUrl } from "./test-servers";

const program = join(__dirname, "../cli/bin/assay.js");
const said_length_max = 20_000;
const ready_wait_ms = 90_000;
const command_wait_ms = 120_000;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A replica of a service. */
export interface Replica {
  readonly name: ServiceName;
  readonly metrics_url: string;
  /** What it has logged last. */
  said(): string;
  ready(): Promise<void>;
  /** Resolves with the exit code; null after SIGKILL. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export class DistributedAssay implements ApiAccess {
  private readonly replicas = new Set<{ readonly child: ChildProcess }>();
  private api_key = "";
  report_api_url = "";
  ingest_url = "";

  private constructor(
    readonly broker: PrivateBroker,
    private readonly engine: Engine,
    private readonly directory: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  /** env: ASSAY_… of every command and service. */
  static async start(env: Readonly<Record<string, string>>): Promise<DistributedAssay> {
    const directory = mkdtempSync(join(tmpdir(), "assay-distributed-"));
    const [broker, engine] = await Promise.all([
      startPrivateBroker(),
      startEngine({ directory: join(directory, "clickhouse"), logger: quiet }),
    ]);
    return new DistributedAssay(broker, engine, directory, {
      ASSAY_KAFKA_BROKERS: broker.brokers.join(","),
      ASSAY_SCHEMA_REGISTRY_URL: testRegistryUrl(),
      ASSAY_CLICKHOUSE_URL: engine.url,
      ASSAY_CLICKHOUSE_USER: engine.username,
      ASSAY_CLICKHOUSE_PASSWORD: engine.password,
      ...env,
    });
  }

  key(): string {
    return this.api_key;
  }

  useKey(key: string): void {
    this.api_key = key;
  }

  command(...argv: string[]): CommandResult {
    return this.commandWith({}, ...argv);
  }

  /** With further settings. */
  commandWith(env: Readonly<Record<string, string>>, ...argv: string[]): CommandResult {
    const result = spawnSync(process.execPath, [program, ...argv], {
      encoding: "utf8",
      env: { ...this.environment(), ...env },
      timeout: command_wait_ms,
      maxBuffer: 64 * 1024 * 1024,
    });
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  async launch(name: ServiceName): Promise<Replica> {
    const ports = await freePorts();
    if (name === "ingest") this.ingest_url = `http://127.0.0.1:${ports.ingest}`;
    if (name === "report-api") this.report_api_url = `http://127.0.0.1:${ports.report_api}`;
    const child = spawn(process.execPath, [program, "service", name], {
      stdio: ["ignore", "ignore", "pipe"],
      env: {
        ...this.environment(),
        ASSAY_METRICS_PORT: String(ports.metrics),
        ASSAY_INGEST_PORT: String(ports.ingest),
        ASSAY_REPORT_API_PORT: String(ports.report_api),
      },
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    const replica = { child };
    this.replicas.add(replica);
    void ended.then(() => this.replicas.delete(replica));
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-said_length_max);
    });
    const metrics_url = `http://127.0.0.1:${ports.metrics}`;
    return {
      name,
      metrics_url,
      said: () => said,
      ready: () =>
        until(
          ready_wait_ms,
          () => `${name} was not ready; it said:\n${said}`,
          async () => {
            if (child.exitCode !== null) throw new Error(`assay up ended: ${name} with ${child.exitCode}:\n${said}`);
            return (await fetch(`${metrics_url}/ready`)).ok;
          },
        ),
      end(signal) {
        child.kill(signal);
        return ended;
      },
    };
  }

  /** What still runs is killed. */
  async close(): Promise<void> {
    for (const { child } of this.replicas) child.kill("SIGKILL");
    await until(10_000, "a service was left", () => this.replicas.size === 0);
    await this.engine.stop();
    await this.broker.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Nothing of the environment that these tests run in. */
  private environment(): Record<string, string> {
    const { PATH = "", HOME = "", TMPDIR } = process.env;
    return { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), ...this.env };
  }
}
