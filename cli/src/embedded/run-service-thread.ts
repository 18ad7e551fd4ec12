/** A worker thread of the services process: opens its own view of the log and of control, starts its one service, obeys the main thread. */
import type { MessagePort } from "node:worker_threads";
import { ControlView } from "@assay/control/follow";
import { createLogger, type Logger } from "@assay/runtime/logger";
import { createMetrics, type ServiceMetrics } from "@assay/runtime/metrics";
import { answerMetrics } from "@assay/runtime/metrics-port";
import type { RunningService } from "@assay/runtime/service";
import { Codec, folderIds } from "@assay/schemas/codec";
import { attachEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log } from "@assay/stream/log";
import { isDiskFull } from "./disk-full";
import { startService } from "./start-service";
import type { FromThread, ThreadPlan, ToThread } from "./thread-messages";

/** Never rejects: a failure is told, and ends the thread. */
export async function runServiceThread(port: MessagePort, plan: ThreadPlan): Promise<void> {
  const tell = (message: FromThread) => port.postMessage(message);
  const logger = createLogger({ service: plan.service });
  const metrics = createMetrics(plan.service);
  const fail = (error: unknown) => {
    logger.fatal({ error }, "the service can't go on");
    const message = error instanceof Error ? error.message : String(error);
    tell({ tag: "failed", message, disk_full: isDiskFull(error) });
    port.close();
    // The thread must not live on half: what it held is given back by its end.
    process.exit(1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  try {
    const log = await attachEmbeddedLog({ directory: plan.log_directory });
    const codec = new Codec(folderIds());
    const control = await ControlView.open(log, codec);
    const started = await startService(plan, { log, codec, control, logger, metrics });
    started.service.ended.catch(fail);
    answerMetrics(port, metrics);
    port.on("message", (message: ToThread) => {
      if (message.tag === "ready_request") tell({ tag: "readiness", id: message.id, readiness: started.service.ready() });
      if (message.tag === "stop") void stop(started.service, log, metrics, port, logger);
    });
    tell({ tag: "started", port: started.port });
    logger.info({ port: started.port }, "service started");
  } catch (error) {
    fail(error);
  }
}

async function stop(
  service: RunningService,
  log: Log,
  metrics: ServiceMetrics,
  port: MessagePort,
  logger: Logger,
): Promise<void> {
  try {
    await service.stop();
    metrics.stop();
    await log.close();
    logger.info("service stopped");
  } catch (error) {
    logger.error({ error }, "the service could not stop in order");
  }
  port.close();
  process.exit(0);
}
