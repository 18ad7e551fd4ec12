/** A worker thread for one service: opens its own view of the log and of control, starts the service, obeys the main thread. */
import type { MessagePort } from "node:worker_threads";
import { ControlView } from "@assay/control/follow";
import { createLogger, type Logger } from "@assay/runtime/logger";
import { createMetrics, type ServiceMetrics } from "@assay/runtime/metrics";
import { answerMetrics } from "@assay/runtime/metrics-port";
import type { Readiness, RunningService } from "@assay/runtime/service";
import { type OpenLog, openLog } from "../distributed/open-log";
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
    const opened = await openLog(plan.log, `assay-${plan.service}`, logger);
    const { log, codec } = opened;
    const control = await ControlView.open(log, codec);
    const started = await startService(plan, { log, codec, control, logger, metrics });
    started.service.ended.catch(fail);
    answerMetrics(port, metrics);
    port.on("message", (message: ToThread) => {
      if (message.tag === "ready_request")
        tell({ tag: "readiness", id: message.id, readiness: readiness(started.service, opened) });
      if (message.tag === "stop") void stop(started.service, opened, metrics, port, logger);
    });
    tell({ tag: "started", port: started.port });
    logger.info({ port: started.port }, "service started");
  } catch (error) {
    fail(error);
  }
}

function readiness(service: RunningService, opened: OpenLog): Readiness {
  const log = opened.ready();
  return log.ready ? service.ready() : log;
}

async function stop(
  service: RunningService,
  opened: OpenLog,
  metrics: ServiceMetrics,
  port: MessagePort,
  logger: Logger,
): Promise<void> {
  try {
    await service.stop();
    metrics.stop();
    await opened.close();
    logger.info("service stopped");
  } catch (error) {
    logger.error({ error }, "the service could not stop in order");
  }
  port.close();
  process.exit(0);
}
