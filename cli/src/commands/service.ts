/** `assay service`: one service in this process, on Kafka and ClickHouse, until it is told to stop. */
import { hostProcess } from "@assay/runtime/host-process";
import { createLogger } from "@assay/runtime/logger";
import { assayEnvironment } from "../assay-environment";
import { hostService, usesStore } from "../distributed/host-service";
import { readDistributedSettings } from "../distributed/read-settings";
import { serviceSettings } from "../distributed/settings";
import { embeddedSettings } from "../embedded/settings";
import type { ServiceName } from "../embedded/thread-messages";
import type { Io } from "../io";

/** The process's own part of a stop, beside the service's. */
const stop_margin_ms = 5_000;

export async function service(name: ServiceName, io: Io, hosted: NodeJS.Process = process): Promise<number> {
  const needs = { command: `assay service ${name}`, store: usesStore(name) };
  const { env, own, kafka, store } = readDistributedSettings(io.env, needs, {
    ...serviceSettings,
    metrics_port: embeddedSettings.metrics_port,
  });
  const logger = createLogger({ service: name });
  const plan = { name, kafka, store: usesStore(name) ? store : undefined, settings: own, env: assayEnvironment(env) };
  const code = await hostProcess({
    name: `assay service ${name}`,
    process: hosted,
    logger,
    start: (signal) => hostService(plan, logger, signal),
    stop_wait_ms: own.stop_wait_ms + stop_margin_ms,
    stop_wait_setting: "ASSAY_STOP_WAIT_MS",
  });
  // A second signal, or a stop that took too long: what still runs must not keep the process.
  return hosted.exit(code);
}
