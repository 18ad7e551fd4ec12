/** `assay setup`: topics, schemas, tables, rule packages and the first API key, so that services can start. */
import { ingestSettings } from "@assay/ingest/settings";
import { createLogger } from "@assay/runtime/logger";
import { formatDuration } from "../arguments";
import { abortable } from "../distributed/abortable";
import { readDistributedSettings } from "../distributed/read-settings";
import { setUp } from "../distributed/set-up";
import { setupSettings } from "../distributed/settings";
import { rulesDirectory } from "../embedded/code-paths";
import { rulePackages } from "../embedded/rule-packages";
import { embeddedSettings } from "../embedded/settings";
import { interrupt } from "../interrupt";
import { exitCodes, type Io, UserError } from "../io";

export interface SetupArguments {
  /** Undefined: a moment, and no answer is no failure. */
  readonly wait?: number;
}

export const setup_wait_default_ms = 10_000;

export async function setup(options: SetupArguments, io: Io): Promise<number> {
  const { own, kafka, store } = readDistributedSettings(
    io.env,
    { command: "assay setup", store: true },
    { ...setupSettings, rules_directory: embeddedSettings.rules_directory, enrol_secret: ingestSettings.enrol_secret },
  );
  const { packages } = await rulePackages(own.rules_directory ?? rulesDirectory);
  const ctrlC = interrupt(
    io,
    () => io.stderr.write("interrupted: the setup ends, and can be run again; servers may still do what they were asked for\n"),
    () => process.exit(exitCodes.interrupted),
  );
  const wait_ms = options.wait ?? setup_wait_default_ms;
  try {
    const setting_up = setUp(
      { kafka, store, packages, api_key: own.api_key, enrol_secret: own.enrol_secret, wait_ms },
      {
        logger: createLogger({ service: "setup", level: "warn" }),
        say: (line) => io.stdout.write(`${line}\n`),
        signal: ctrlC.signal,
      },
    );
    // What waits for servers is left to itself, and ends with the process.
    const { unanswered } = await abortable(setting_up, ctrlC.signal, async () => undefined);
    if (unanswered === 0) {
      io.stdout.write("Assay is set up.\n");
      return exitCodes.ok;
    }
    io.stdout.write(
      `No coordinator answered within ${formatDuration(wait_ms)}: ${unanswered} ${unanswered === 1 ? "command stands" : "commands stand"} in the log, and the correlator carries them out when it runs. Services can start.\n`,
    );
    return options.wait === undefined ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    if (ctrlC.signal.aborted) return exitCodes.interrupted;
    if (error instanceof UserError) throw error;
    throw new UserError(`could not set up: ${(error as Error).message}`);
  } finally {
    ctrlC.close();
  }
}
