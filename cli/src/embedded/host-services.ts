/**
 * The services process: it owns the embedded log (or is a client of Kafka) and the engine, and hosts each service in a worker thread of its own.
 *
 *   start message ─▶ log and engine ─▶ correlator ─▶ bootstrap (through the correlator) ─▶ ingest, evaluator, report API ─▶ ready
 *   stop message, or the parent is gone ─▶ ingest ─▶ correlator ─▶ evaluator ─▶ report API ─▶ engine ─▶ log ─▶ end
 *
 * Signals are for the supervisor, which decides when what ends: a Ctrl-C or a service manager's SIGTERM goes to the whole group.
 */
import { join } from "node:path";
import { ControlView } from "@assay/control/follow";
import { startAdminServer } from "@assay/runtime/admin-server";
import { createLogger, type Logger } from "@assay/runtime/logger";
import { createMetrics, mergeMetrics } from "@assay/runtime/metrics";
import { allTopics } from "@assay/schemas/topics";
import { connectStore } from "@assay/store/client";
import { DiskFullError } from "@assay/store/disk-full";
import { migrate } from "@assay/store/migrate";
import { assayEnvironment } from "../assay-environment";
import { openOwnLog, planLog } from "../distributed/open-log";
import { storeOptions } from "../distributed/store-login";
import { bootstrap } from "./bootstrap";
import { isDiskFull } from "./disk-full";
import { type FromServices, type ServicesPlan, services_exit_codes, type ToServices } from "./messages";
import { type OpenStore, openStore } from "./open-store";
import { listen_host } from "./ports";
import { ServiceThread } from "./service-thread";
import { type ServiceName, serviceNames, type ThreadPlan } from "./thread-messages";

const log_owner_wait_ms = 10_000;
/** Once the parent is gone nobody waits for an orderly end. */
const orphan_stop_wait_ms = 5_000;
/** A thread that died may hold the log's lock, on which an orderly stop would wait for ever. */
const failed_stop_wait_ms = 10_000;
const without_room_poll_ms = 1_000;

/** Resolves with the exit code, after everything that it started has ended. */
export async function hostServices(hosted: NodeJS.Process): Promise<number> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) hosted.on(signal, () => undefined);
  const logger = createLogger({ service: "services" });
  const tell = (message: FromServices) => void hosted.send?.(message, () => undefined);
  const undo: Undo = [];
  const supervisor = watchSupervisor(hosted);
  try {
    const plan = await Promise.race([supervisor.plan, supervisor.stopped.then(() => undefined)]);
    if (!plan) return services_exit_codes.stopped;
    const failed = start(plan, logger, tell, undo);
    await Promise.race([failed, supervisor.stopped]);
    await undoAll(undo);
    logger.info("services stopped");
    return services_exit_codes.stopped;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    logger.fatal({ error }, "the services can't go on");
    tell({ type: "failed", message });
    endAfter(hosted, failed_stop_wait_ms);
    await undoAll(undo).catch((failure: unknown) => logger.error({ error: failure }, "could not stop in order"));
    return isDiskFull(error) ? services_exit_codes.disk_full : services_exit_codes.failed;
  }
}

type Undo = (() => Promise<unknown>)[];

async function undoAll(undo: Undo): Promise<void> {
  for (const step of undo.splice(0)) await step();
}

function endAfter(hosted: NodeJS.Process, wait_ms: number): void {
  setTimeout(() => hosted.kill(hosted.pid, "SIGKILL"), wait_ms).unref();
}

interface Supervisor {
  readonly plan: Promise<ServicesPlan>;
  readonly stopped: Promise<void>;
}

/** The parent's orders; its end counts as one to stop, with a limit. */
function watchSupervisor(hosted: NodeJS.Process): Supervisor {
  const plan = new Promise<ServicesPlan>((resolve) => {
    hosted.on("message", (message: ToServices) => {
      if (message.type === "start") resolve(message.plan);
    });
  });
  const stopped = new Promise<void>((resolve) => {
    hosted.on("message", (message: ToServices) => {
      if (message.type === "stop") resolve();
    });
    const orphaned = () => {
      resolve();
      endAfter(hosted, orphan_stop_wait_ms);
    };
    hosted.once("disconnect", orphaned);
    if (hosted.connected === false) orphaned();
  });
  return { plan, stopped };
}

/** Rejects when it can't go on. What it has started stands in undo, to be done in that order. */
async function start(plan: ServicesPlan, logger: Logger, tell: (message: FromServices) => void, undo: Undo): Promise<never> {
  tell({ type: "doing", what: "opening the log and the store" });
  const log_plan = planLog(process.env, join(plan.directory, "log"));
  const own = { max_bytes: plan.log_bytes_max, owner_wait_ms: log_owner_wait_ms };
  const { log, codec, close, ready } = await openOwnLog(log_plan, "assay-services", logger, own);
  undo.unshift(close);
  await log.ensureTopics(allTopics);
  const opened = await openStore(plan.directory, process.env, logger);
  undo.unshift(() => opened.stop());
  undo.unshift(tellWithoutRoom(opened, tell));
  const { cluster } = opened.login;
  const store = connectStore(storeOptions(opened.login));
  const applied = await migrate(store, cluster === undefined ? {} : { cluster }).finally(() => store.close());
  if (applied.length > 0) logger.info({ applied }, "migrations applied");

  const ports = { ...plan.ports };
  const env = threadEnv(plan, ports);
  const threadPlan = (service: ServiceName): ThreadPlan => ({ service, log: log_plan, env, store: opened.login });
  const threads = new Map(serviceNames.map((name) => [name, new ServiceThread(name, threadPlan(name), logger)]));
  const thread = (name: ServiceName) => threads.get(name) as ServiceThread;
  // In the order of the flow, so that each finishes what those before it gave it.
  undo.unshift(async () => {
    for (const name of serviceNames) await thread(name).stop();
  });
  tell({ type: "doing", what: "starting the services" });
  await thread("correlator").start();
  const others = Promise.all([thread("evaluator").start(), thread("ingest").start(), thread("report-api").start()]);
  others.catch(() => undefined); // awaited below
  const assessment_id = await bootstrap(plan, log, codec, await ControlView.open(log, codec), logger);
  const [, ingest_port, report_api_port] = await others;
  ports.ingest = ingest_port ?? ports.ingest;
  ports.report_api = report_api_port ?? ports.report_api;

  const metrics = createMetrics("services", { process_metrics: true });
  const admin = await startAdminServer({
    host: listen_host,
    port: ports.metrics,
    setting: "ASSAY_METRICS_PORT",
    services: () => [
      ...serviceNames.map((name) => ({ name, ready: () => thread(name).ready() })),
      { name: "log", ready },
      { name: "clickhouse", ready: () => opened.ready() },
    ],
    metrics: async () =>
      mergeMetrics(await Promise.all([metrics.snapshot(), ...serviceNames.map((name) => thread(name).metrics())])),
  });
  ports.metrics = admin.port;
  undo.unshift(async () => {
    metrics.stop();
    await admin.stop();
  });
  logger.info({ ports }, "services ready");
  tell({ type: "ready", ports, engine_port: opened.port, assessment_id });
  try {
    await Promise.race([opened.ended, ...[...threads.values()].map((t) => t.failed)]);
  } catch (error) {
    // Who gave up while the engine waits for room did so for want of room.
    const what = opened.withoutRoom();
    if (what === undefined) throw error;
    throw new DiskFullError(`${what}; ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  throw new Error("the engine ended");
}

/** Tells when the engine begins and ceases to wait for room. Returns how to end that. */
function tellWithoutRoom(opened: OpenStore, tell: (message: FromServices) => void): () => Promise<void> {
  let told: string | undefined;
  const timer = setInterval(() => {
    const what = opened.withoutRoom();
    if (what === told) return;
    told = what;
    tell({ type: "disk_full", what });
  }, without_room_poll_ms);
  return async () => clearInterval(timer);
}

/** The settings that this start decides on go before those of the environment. */
function threadEnv(plan: ServicesPlan, ports: ServicesPlan["ports"]): Record<string, string> {
  return {
    ...assayEnvironment(process.env),
    ASSAY_REPORT_API_PORT: String(ports.report_api),
    ASSAY_INGEST_PORT: String(ports.ingest),
    ASSAY_ENROL_SECRET: plan.enrolment_secret,
    ASSAY_ENROL_SECRET_FILE: "",
  };
}
