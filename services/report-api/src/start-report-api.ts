/** The report API as a service: opens the port, and serves until it is stopped. Control and the store belong to the caller. */
import { createServer } from "node:http";
import { closeServer, listen } from "@assay/runtime/listen";
import type { Logger } from "@assay/runtime/logger";
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { Readiness, RunningService } from "@assay/runtime/service";
import type { Control } from "./control";
import { createApp } from "./http/app";
import { reportApiMetrics } from "./metrics";
import type { Store } from "./queries/read";
import { routeTable } from "./routes/table";
import { type ReportApiSettings, reportApiSettings } from "./settings";

export interface ReportApiParts {
  readonly store: Store;
  readonly control: Control;
  readonly logger: Logger;
  readonly metrics: Pick<ServiceMetrics, "registry" | "prefix">;
}

export type RunningReportApi = RunningService & { readonly port: number };

export const headers_wait_ms = 10_000;
export const request_wait_ms = 30_000;
export const stop_wait_ms = 5_000;

/** Throws ListenError where the port can't be opened. */
export async function startReportApi(settings: ReportApiSettings, parts: ReportApiParts): Promise<RunningReportApi> {
  const { store, control, logger } = parts;
  const routes = routeTable(store, control, settings.silent_after_ms);
  const app = createApp({
    routes,
    control: control.view,
    logger,
    metrics: reportApiMetrics(parts.metrics),
    requests_in_flight_max: settings.requests_in_flight_max,
  });
  const server = createServer({ headersTimeout: headers_wait_ms, requestTimeout: request_wait_ms }, app);
  const port = await listen(server, { host: settings.host, port: settings.port, setting: reportApiSettings.port.variable });
  const ended = new Promise<void>((resolve, reject) => {
    server.once("close", resolve);
    server.once("error", reject);
  });
  let stopping = false;
  logger.info({ host: settings.host, port }, "report API listens");
  return {
    port,
    ended,
    ready: (): Readiness => (stopping ? { ready: false, reason: "stopping" } : { ready: true }),
    stop: async () => {
      stopping = true;
      await closeServer(server, stop_wait_ms);
    },
  };
}
