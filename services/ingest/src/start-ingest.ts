/**
 * Ingest, the gateway of agents:
 *
 *   POST /v1/telemetry   one TelemetryBatch in the wire format   → 200 { accepted: events, inventory_age_ms_max? }
 *   POST /v1/inventory   one InventorySection chunk              → 200 { accepted: 1 }
 *   POST /v1/enrol       Enrolment with its proof, as JSON       → 201 { proof }
 *   POST /v1/enrol/challenge                                     → 200 { challenge }
 *
 * inventory_age_ms_max: every section of inventory that was collected longer ago should be collected and sent again.
 *
 * 200 and 201 are given once the log has what was sent. 4xx except 429: the same request will be refused again. 429 and 5xx: keep
 * it, and send it again after Retry-After. Errors are { error: { code, message } }.
 */
import { createServer, type IncomingMessage } from "node:http";
import { closeServer, listen } from "@assay/runtime/listen";
import type { Logger } from "@assay/runtime/logger";
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { RunningService } from "@assay/runtime/service";
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import express, { type NextFunction, type Request, type Response } from "express";
import type { AgentDirectory } from "./agent-directory";
import { Appender } from "./appender";
import { Authenticator } from "./authenticate";
import { Enroller } from "./enrol";
import { Gate } from "./gate";
import { ingestMetrics } from "./metrics";
import { discardBody } from "./read-body";
import { Receiver } from "./receive";
import { isReply, type Reply } from "./reply";
import { connections_max, type IngestSettings, keep_alive_ms, request_wait_ms_max } from "./settings";

export interface IngestParts {
  /** Stays the caller's to close. */
  readonly log: Log;
  readonly codec: Codec;
  readonly agents: AgentDirectory;
  readonly logger: Logger;
  readonly metrics: ServiceMetrics;
}

export interface RunningIngest extends RunningService {
  readonly port: number;
}

/** Throws ListenError where the port can't be opened. */
export async function startIngest(settings: IngestSettings, parts: IngestParts): Promise<RunningIngest> {
  const { log, codec, agents, logger } = parts;
  await log.ensureTopics([topics.telemetry, topics.inventory, topics.deadLetters]);
  const metrics = ingestMetrics(parts.metrics);
  const appender = new Appender(log, metrics, logger);
  const receiver = new Receiver(settings, { codec, appender, metrics, agents, logger });
  const authenticator = new Authenticator(agents);
  const gate = new Gate(settings.requests_in_flight_max, metrics);
  const enroller = new Enroller(settings.enrol_secret, agents, metrics, logger);

  const answered = (handle: (request: Request) => Promise<Reply>) => async (request: Request, response: Response) => {
    const reply = await handle(request);
    if (reply.refused !== undefined) metrics.refused.inc({ reason: reply.refused });
    send(request, response, reply);
  };
  const fromHost = (receive: (host_id: string, request: IncomingMessage) => Promise<Reply>) =>
    answered(async (request) => {
      const host = await authenticator.hostOf(request.headers);
      return isReply(host) ? host : gate.pass(host.host_id, () => receive(host.host_id, request));
    });

  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.post("/v1/telemetry", fromHost(receiver.telemetry.bind(receiver)));
  app.post("/v1/inventory", fromHost(receiver.inventory.bind(receiver)));
  app.post("/v1/enrol/challenge", answered(enroller.challenge.bind(enroller)));
  app.post("/v1/enrol", answered(enroller.enrol.bind(enroller)));
  app.use(answered(async () => notFound));
  // Express tells an error handler by its four parameters.
  app.use((error: Error, request: Request, response: Response, _next: NextFunction) => {
    logger.error({ error, path: request.path }, "a request failed by a fault of ours");
    send(request, response, failed);
  });

  const server = createServer(app);
  server.requestTimeout = request_wait_ms_max;
  server.keepAliveTimeout = keep_alive_ms;
  server.maxConnections = connections_max;
  const port = await listen(server, { host: settings.host, port: settings.port, setting: "ASSAY_INGEST_PORT" });
  logger.info({ host: settings.host, port }, "ingest listens");
  if (!isLoopback(settings.host)) {
    logger.warn(
      { host: settings.host, setting: "ASSAY_INGEST_HOST" },
      "agents' credentials travel in clear text; put TLS in front of this port",
    );
  }
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    port,
    ready: () => appender.ready(),
    ended,
    async stop() {
      await closeServer(server, settings.stop_wait_ms);
      end();
    },
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

const notFound: Reply = {
  status: 404,
  body: {
    error: { code: "not_found", message: "there are POST /v1/telemetry, /v1/inventory, /v1/enrol/challenge and /v1/enrol" },
  },
};
const failed: Reply = { status: 500, body: { error: { code: "failed", message: "a fault of the service; its log says more" } } };

function send(request: Request, response: Response, reply: Reply): void {
  if (response.headersSent || response.destroyed) return;
  if (reply.retry_after_s !== undefined) response.setHeader("retry-after", String(reply.retry_after_s));
  response.status(reply.status).json(reply.body);
  discardBody(request);
}
