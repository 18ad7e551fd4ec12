/**
 * One service in a process of its own, on Kafka: the service runs in a worker thread, as in an embedded Assay; the main thread answers
 * /live, /ready and /metrics whatever the service is busy with.
 *
 *   admin port ─▶ setup is waited for ─▶ service's thread (its own connections) ─▶ ready
 *   stop: the service finishes its work in hand and leaves its groups ─▶ admin port
 */
import { type AdminServer, startAdminServer } from "@assay/runtime/admin-server";
import type { Logger } from "@assay/runtime/logger";
import { createMetrics, mergeMetrics } from "@assay/runtime/metrics";
import type { Readiness, RunningService } from "@assay/runtime/service";
import { connectStore } from "@assay/store/client";
import { ServiceThread } from "../embedded/service-thread";
import type { ServiceName, ThreadPlan } from "../embedded/thread-messages";
import { abortable } from "./abortable";
import { awaitSetup } from "./await-setup";
import { openTopics } from "./open-log";
import type { KafkaSettings, ServiceSettings } from "./settings";
import { type StoreLogin, storeOptions } from "./store-login";

export interface HostedServicePlan {
  readonly name: ServiceName;
  readonly kafka: KafkaSettings;
  readonly store: StoreLogin | undefined;
  readonly settings: ServiceSettings & { readonly metrics_port: number };
  /** ASSAY_… of the environment. */
  readonly env: Readonly<Record<string, string>>;
}

export function usesStore(name: ServiceName): boolean {
  return name === "evaluator" || name === "report-api";
}

/** A thread's own connections may have to wait for brokers and registry, each up to the retries' limit. */
const thread_start_ms = 60_000;
const missing_told_wait_ms = 30_000;

/** Rejects where it can't start; nothing is left running then. */
export async function hostService(plan: HostedServicePlan, logger: Logger, signal: AbortSignal): Promise<RunningService> {
  const { name, kafka, settings, env } = plan;
  const metrics = createMetrics("process", { process_metrics: true });
  let thread: ServiceThread | undefined;
  let waiting_for = "it is starting";
  const ready = async (): Promise<Readiness> => (thread ? thread.ready() : { ready: false, reason: waiting_for });
  const admin = await startAdminServer({
    host: settings.metrics_host,
    port: settings.metrics_port,
    setting: "ASSAY_METRICS_PORT",
    services: () => [{ name, ready }],
    metrics: async () => mergeMetrics(await Promise.all([metrics.snapshot(), ...(thread ? [thread.metrics()] : [])])),
  });
  logger.info({ host: settings.metrics_host, port: admin.port }, "live, ready and metrics are served");
  try {
    await untilSetUp(plan, logger, signal, (what) => {
      waiting_for = what;
    });
    signal.throwIfAborted();
    const hosted: ThreadPlan = {
      service: name,
      log: { kind: "kafka", settings: kafka },
      env,
      ...(plan.store === undefined ? {} : { store: plan.store }),
    };
    thread = new ServiceThread(name, hosted, logger, {
      start_wait_ms: thread_start_ms + 2 * kafka.retry_ms,
      stop_wait_ms: settings.stop_wait_ms,
    });
    await started(thread, signal);
    return running(thread, admin, metrics);
  } catch (error) {
    metrics.stop();
    await admin.stop();
    throw error;
  }
}

function running(thread: ServiceThread, admin: AdminServer, metrics: { stop(): void }): RunningService {
  return {
    // Only the admin server asks here, and it asks the thread.
    ready: () => ({ ready: true }),
    ended: thread.failed,
    async stop() {
      await thread.stop();
      metrics.stop();
      await admin.stop();
    },
  };
}

/** A stop that is asked for while the thread starts ends it. */
async function started(thread: ServiceThread, signal: AbortSignal): Promise<void> {
  const stop = () => void thread.stop();
  signal.addEventListener("abort", stop);
  try {
    await thread.start();
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function untilSetUp(
  { name, kafka, store: login, settings }: HostedServicePlan,
  logger: Logger,
  signal: AbortSignal,
  onMissing: (what: string) => void,
): Promise<void> {
  onMissing("it connects to Kafka");
  const log = await abortable(openTopics(kafka, `assay-${name}`, logger), signal, (late) => late.close());
  const store = usesStore(name) && login ? connectStore(storeOptions(login)) : undefined;
  let told_at = Number.NEGATIVE_INFINITY;
  try {
    await awaitSetup({
      log,
      store,
      wait_ms: settings.setup_wait_ms,
      signal,
      onMissing(what) {
        onMissing(`waiting for assay setup: ${what}`);
        if (performance.now() - told_at < missing_told_wait_ms) return;
        told_at = performance.now();
        logger.warn({ missing: what, setting: "ASSAY_SETUP_WAIT_MS" }, "waiting for assay setup");
      },
    });
  } finally {
    await store?.close();
    await log.close();
  }
}
