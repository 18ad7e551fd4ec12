/**
 * An engine that is configured as a server is: by the files that stand in deploy/clickhouse, by an environment, with users other than the
 * embedded engine's. It is the same library, and as little as it can be of what startEngine gives.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineOrder } from "../src/engine-settings";

export interface Configuration {
  /** Files that ClickHouse merges into its users. */
  readonly users?: readonly string[];
  /** … and into its configuration. */
  readonly config?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface ConfiguredEngine {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startConfiguredEngine(configuration: Configuration): Promise<ConfiguredEngine> {
  const script = join(__dirname, "../dist/engine-child.js");
  if (!existsSync(script)) throw new Error(`${script} is missing; build first (npm run build)`);
  const directory = mkdtempSync(join(tmpdir(), "assay-configured-engine-"));
  copyInto(join(directory, "users.d"), configuration.users);
  copyInto(join(directory, "config.d"), configuration.config);
  const port = await freePort();
  const child = spawn(process.execPath, [script, directory], {
    stdio: ["pipe", "ignore", "pipe"],
    env: { ...process.env, ...configuration.env },
  });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-4_000);
  });
  const order: EngineOrder = { port, config_xml: configXml(directory), users_xml };
  child.stdin?.write(`${JSON.stringify(order)}\n`);
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.stdin?.destroy();
    await gone;
    rmSync(directory, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  if (await answers(url, child)) return { url, stop };
  await stop();
  throw new Error(`the configured engine didn't start: ${said}`);
}

const ready_wait_ms = 60_000;
const ready_pause_ms = 50;

/** As strict as a server's own configuration can be: nothing is readable or usable without a grant. */
function configXml(directory: string): string {
  return `<clickhouse>
  <users_config>${join(directory, "users.xml")}</users_config>
  <timezone>UTC</timezone>
  <max_server_memory_usage>1073741824</max_server_memory_usage>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
  </merge_tree>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
</clickhouse>`;
}

/** The engine's first connection is the user default without a password. */
const users_xml = `<clickhouse>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants>
    </default>
  </users>
</clickhouse>`;

function copyInto(folder: string, files: readonly string[] = []): void {
  mkdirSync(folder);
  for (const file of files) cpSync(file, join(folder, basename(file)));
}

async function answers(url: string, child: ChildProcess): Promise<boolean> {
  const until = Date.now() + ready_wait_ms;
  while (Date.now() < until && child.exitCode === null && child.signalCode === null) {
    const answer = await fetch(`${url}/ping`, { headers: { connection: "close" } }).catch(() => undefined);
    if (answer?.ok) return true;
    await sleep(ready_pause_ms);
  }
  return false;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
