/** The agent's process. It ends on SIGTERM and SIGINT, and with ASSAY_AGENT_WITH_PARENT when its standard input ends. */
import { EventEmitter } from "node:events";
import { exitCodes, hostProcess } from "@assay/runtime/host-process";
import { createLogger } from "@assay/runtime/logger";
import { readSettings } from "@assay/runtime/settings";
import { agentSettings } from "./config";
import { publishRelations } from "./publish-settings";
import { runAgent } from "./run-agent";
import { agentVersion } from "./version";

async function main(): Promise<number> {
  const read = readSettings(agentSettings, process.env, publishRelations);
  if (!read.ok) {
    createLogger({ service: "agent" }).fatal({ problems: read.problems }, "settings can't be used");
    return exitCodes.settings;
  }
  const config = read.settings;
  const logger = createLogger({ service: "agent", level: config.log_level });
  return hostProcess({
    name: "agent",
    process: config.with_parent ? endingWithInput(process) : process,
    logger,
    start: () => runAgent(config, { logger, agent_version: agentVersion() }),
    stop_wait_ms: config.stop_wait_ms + stop_margin_ms,
    stop_wait_setting: "ASSAY_AGENT_STOP_WAIT_MS",
  });
}

/** The end of the input counts as SIGTERM: whoever started the agent has ended. */
function endingWithInput(watched: NodeJS.Process): Pick<NodeJS.Process, "on" | "off"> {
  const both = new EventEmitter();
  for (const name of ["SIGTERM", "SIGINT", "uncaughtException", "unhandledRejection"]) {
    watched.on(name, (...args: unknown[]) => both.emit(name, ...args));
  }
  const ended = () => both.emit("SIGTERM", "SIGTERM");
  watched.stdin.once("end", ended);
  watched.stdin.once("error", ended);
  watched.stdin.resume();
  return both as unknown as Pick<NodeJS.Process, "on" | "off">;
}

const stop_margin_ms = 5_000;

void main().then((code) => process.exit(code));
