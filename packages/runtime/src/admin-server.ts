/**
 * The port that operators and Prometheus ask: /live (the process turns), /ready (each hosted service can do its work, or why not),
 * /metrics.
 */
import { createServer, type ServerResponse } from "node:http";
import { closeServer, type ListenAddress, listen } from "./listen";
import { metricsContentType } from "./metrics";
import type { Readiness } from "./service";

export interface AdminOptions extends ListenAddress {
  /** Asked on each request, so that services that come and go are seen. A service in another thread answers later. */
  readonly services: () => readonly HostedService[];
  /** Prometheus text. */
  readonly metrics: () => Promise<string>;
}

export interface HostedService {
  readonly name: string;
  ready(): Readiness | Promise<Readiness>;
}

export interface AdminServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Throws ListenError where the port can't be opened. */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const server = createServer((request, response) => {
    respond(options, request.method ?? "", (request.url ?? "").split("?", 1)[0] ?? "", response).catch((error: unknown) =>
      send(response, 500, { error: { code: "failed", message: error instanceof Error ? error.message : String(error) } }),
    );
  });
  const port = await listen(server, options);
  return { port, stop: () => closeServer(server, stop_wait_ms) };
}

const stop_wait_ms = 1_000;
const ready_wait_ms = 2_000;

async function respond(options: AdminOptions, method: string, path: string, response: ServerResponse): Promise<void> {
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, { error: { code: "method_not_allowed", message: `${method} is not GET or HEAD` } });
  }
  switch (path) {
    case "/live":
      return send(response, 200, { live: true });
    case "/ready":
      return ready(options.services(), response);
    case "/metrics":
      response.writeHead(200, { "content-type": metricsContentType }).end(await options.metrics());
      return;
    default:
      return send(response, 404, { error: { code: "not_found", message: "there are /live, /ready and /metrics" } });
  }
}

async function ready(services: readonly HostedService[], response: ServerResponse): Promise<void> {
  const answers = await Promise.all(services.map(async (service) => [service.name, await readiness(service)] as const));
  const isReady = answers.every(([, answer]) => answer.ready);
  send(response, isReady ? 200 : 503, { ready: isReady, services: Object.fromEntries(answers) });
}

/** A service that doesn't answer, or throws, isn't ready: the probe is never left hanging. */
async function readiness(service: HostedService): Promise<Readiness> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Readiness>((resolve) => {
    timer = setTimeout(() => resolve({ ready: false, reason: `no answer within ${ready_wait_ms} ms` }), ready_wait_ms);
  });
  try {
    return await Promise.race([service.ready(), late]);
  } catch (error) {
    return { ready: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) {
    response.end();
    return;
  }
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}
