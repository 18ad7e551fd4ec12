/** The ports of an embedded Assay: which, whether they are free, and which setting changes them. */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../io";
import type { Ports } from "./messages";

export const listen_host = "127.0.0.1";

export interface PortUse {
  readonly what: string;
  readonly setting: string;
  readonly default: number;
}

export const portUses: Readonly<Record<keyof Ports, PortUse>> = {
  report_api: { what: "the report API", setting: "--port, ASSAY_REPORT_API_PORT", default: 8080 },
  ingest: { what: "ingest", setting: "ASSAY_INGEST_PORT", default: 8081 },
  metrics: { what: "metrics and health", setting: "ASSAY_METRICS_PORT", default: 9464 },
};

const wait_pause_ms = 200;

/** Throws UserError for a port that is in use; waits up to wait_ms for one that an ending process still has. */
export async function checkPorts(ports: Ports, wait_ms: number): Promise<void> {
  const deadline = Date.now() + wait_ms;
  const names = Object.keys(portUses) as (keyof Ports)[];
  for (const name of names) {
    const other = names.find((n) => n !== name && ports[n] === ports[name] && ports[n] !== 0);
    if (other) {
      throw new UserError(
        `${portUses[name].what} and ${portUses[other].what} have the same port ${ports[name]} (${portUses[name].setting}; ${portUses[other].setting})`,
      );
    }
  }
  for (const name of names) {
    for (let problem = await obstacle(ports[name]); problem !== undefined; problem = await obstacle(ports[name])) {
      if (problem === "EADDRINUSE" && Date.now() < deadline) await sleep(wait_pause_ms);
      else throw new UserError(describe(name, ports[name], problem));
    }
  }
}

function describe(name: keyof Ports, port: number, code: string): string {
  const why =
    code === "EADDRINUSE"
      ? "is in use by another process"
      : code === "EACCES"
        ? "may not be opened by this user"
        : `can't be opened: ${code}`;
  return `port ${port} on ${listen_host}, for ${portUses[name].what}, ${why}; choose another (${portUses[name].setting})`;
}

function obstacle(port: number): Promise<string | undefined> {
  if (port === 0) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, listen_host, () => server.close(() => resolve(undefined)));
  });
}
