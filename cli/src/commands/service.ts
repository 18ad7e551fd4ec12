/** `assay service`: one service in this process, on Kafka and ClickHouse, until it is told to stop. */
import { hostProcess } from "@assay/runtime/host-process";
import { createLogger } from "@assay/runtime/logger";
import { withDefaults } from "../distributed/defaults";
import { hostService, usesStore } from "../distributed/host-service";
import { readDistributedSettings } from "../distributed/read-settings";
import { serviceSettings } from "../distributed/settings";
import { embeddedSettings } from "../embedded/settings";
import type { ServiceName } from "../embedded/thread-messages";
import type { Io } from "../io";

/** The process's own part of a stop, beside the service's. */
const stop_margin_ms = 5_000;

export async function service(name: ServiceName, given: Io, hosted: NodeJS.Process = process): Promise<number> {
  const env = withDefaults(given.env);
  const needs = { command: `assay service ${name}`, store: usesStore(name) };
  const { own, kafka, store } = readDistributedSettings(env, needs, {
    ...serviceSettings,
    metrics_port: embeddedSettings.metrics_port,
  });
  const logger = createLogger({ service: name });
  const plan = { name, kafka, store: usesStore(name) ? store : undefined, settings: own, env: assaySettings(env) };
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

function assaySettings(env: Io["env"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[0].startsWith("ASSAY_") && entry[1] !== undefined),
  );
}
