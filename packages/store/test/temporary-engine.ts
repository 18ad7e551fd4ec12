/** Engines in folders of their own; endAll leaves neither process nor folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectStore, type Store, type StoreOptions } from "../src/client";
import { type Engine, type EngineLogger, type EngineOptions, startEngine } from "../src/engine";

export interface LoggedLine {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

export class TemporaryEngines {
  readonly lines: LoggedLine[] = [];
  private readonly directories: string[] = [];
  private readonly engines: Engine[] = [];
  private readonly stores: Store[] = [];

  directory(): string {
    const directory = mkdtempSync(join(tmpdir(), "assay-engine-"));
    this.directories.push(directory);
    return directory;
  }

  async start(options: Partial<EngineOptions> = {}): Promise<Engine> {
    const engine = await startEngine({ directory: options.directory ?? this.directory(), logger: this.logger(), ...options });
    this.engines.push(engine);
    return engine;
  }

  connect(engine: Engine, options: Partial<StoreOptions> = {}): Store {
    const store = connectStore({ url: engine.url, username: engine.username, password: engine.password, ...options });
    this.stores.push(store);
    return store;
  }

  async endAll(): Promise<void> {
    await Promise.all(this.stores.map((store) => store.close()));
    await Promise.all(this.engines.map((engine) => engine.stop()));
    for (const directory of this.directories) rmSync(directory, { recursive: true, force: true });
  }

  logger(): EngineLogger {
    const log = (level: string) => (fields: object, message: string) => {
      this.lines.push({ level, message, fields });
    };
    return { info: log("info"), warn: log("warn"), error: log("error") };
  }
}

export function pidOf(engine: Engine): number {
  const { pid } = engine.status();
  if (pid === undefined) throw new Error("the engine has no process");
  return pid;
}

export async function until(what: string, holds: () => boolean, wait_ms = 10_000): Promise<void> {
  const end = Date.now() + wait_ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited ${wait_ms} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks without the client, as any program on this machine could. */
export async function post(
  engine: Engine,
  sql: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  const response = await fetch(engine.url, { method: "POST", body: sql, headers: { ...headers, connection: "close" } });
  return { status: response.status, body: (await response.text()).trim() };
}

export function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
}
