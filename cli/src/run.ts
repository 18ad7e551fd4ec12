/** `assay`: reads the arguments, runs one command, and returns the exit code. */
import { Command, CommanderError, Option } from "commander";
import { formatDuration, parseDuration, parseNames, parsePort, parseSeverity } from "./arguments";
import { command, dataOption, formatOption } from "./command";
import { type AssessArguments, assess } from "./commands/assess";
import { audit } from "./commands/audit";
import { addDistributedCommands } from "./commands/distributed";
import { reference } from "./commands/reference";
import { up } from "./commands/up";
import { exitCodes, type Io, UserError } from "./io";

export const version = "0.1.0";

export async function run(argv: readonly string[], io: Io): Promise<number> {
  let code: number = exitCodes.ok;
  const program = commands(io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    // Commander has printed its message by then: help and version end with 0, everything else is a usage error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (error instanceof UserError) io.stderr.write(`assay: ${error.message}\n`);
    else io.stderr.write(`assay: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return exitCodes.failed;
  }
}

function commands(io: Io, done: (code: number) => void): Command {
  const program = new Command("assay")
    .description("Assesses how hosts and applications behave and are set up, against rule packages.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .exitOverride()
    .showHelpAfterError("(--help shows what is possible)")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns(),
      getErrHelpWidth: () => io.stderr.columns(),
    })
    .addHelpText(
      "after",
      `
Examples:
  assay up                          watch this machine, until Ctrl-C
  assay assess                      assess this machine for a minute, print the report
  assay assess --duration 15m --fail-on high --format json --output report.json
  assay audit                       check that no telemetry was lost or counted twice
  assay setup                       prepare Kafka and ClickHouse; then each assay service in a process of its own

Settings are environment variables named ASSAY_…; docs/reference/settings.md lists them.`,
    );

  command(program, "up")
    .summary("watch this machine continuously")
    .description(
      "Starts the log, the ClickHouse engine, the services and an agent that watches this machine, and assesses it\ncontinuously until Ctrl-C. A later start goes on with the same data.",
    )
    .addOption(dataOption())
    .option("--port <n>", "port of the report API on 127.0.0.1 (ASSAY_REPORT_API_PORT; default 8080; 0: any free one)", parsePort)
    .addHelpText(
      "after",
      `
Examples:
  assay up
  assay up --data ./assay-data --port 9000

As root, the services run as ASSAY_USER (default nobody) and only the agent stays root. As another user everything runs as
that user, and the agent sees what that user may see.`,
    )
    .action(async (options: { data?: string; port?: number }) => {
      done(await up(options, io));
    });

  command(program, "assess")
    .summary("assess this machine once and print the report")
    .description("Watches this machine for a while, evaluates the rule packages, and prints the findings by severity.")
    .addOption(
      new Option("--duration <time>", "how long to watch: 60s, 15m, 1h, 1d; at least 1m")
        .argParser(parseDuration)
        .default(60_000, formatDuration(60_000)),
    )
    .option("--packages <names>", "rule packages, separated by commas (default: all)", parseNames)
    .addOption(formatOption("form of the report"))
    .option("--output <file>", "write the report to this file instead of standard output")
    .option("--fail-on <severity>", "exit with 1 when there is a finding of this severity or a higher one", parseSeverity)
    .addOption(dataOption("keep the data in this directory (default: a temporary one, removed afterwards)"))
    .addHelpText(
      "after",
      `
Examples:
  assay assess
  assay assess --packages authentication,network-security
  assay assess --duration 1h --format json --output report.json --fail-on high

Exit codes: 0 assessed; 1 a finding met --fail-on; 2 wrong arguments; 3 could not assess; 130 interrupted.
The report goes to standard output, progress to standard error.`,
    )
    .action(async (options: AssessArguments) => {
      done(await assess(options, io));
    });

  command(program, "audit")
    .summary("check that accepted telemetry adds up")
    .description(
      "Recounts the accepted telemetry from the log and compares it with the store, for each host and kind:\naccepted = windowed + duplicates + dead-lettered + pending. On Kafka at any time; of an embedded Assay while it is stopped.",
    )
    .addOption(dataOption())
    .addOption(formatOption("form of the account"))
    .addHelpText(
      "after",
      `
Examples:
  assay audit
  assay audit --data ./assay-data --format json

Exit codes: 0 everything adds up; 1 it doesn't, or could not be read; 2 wrong arguments.`,
    )
    .action(async (options: { data?: string; format: "table" | "json" }) => {
      done(await audit(options, io));
    });

  addDistributedCommands(program, io, done);

  command(program, "reference")
    .summary("write the reference pages")
    .description("Writes settings.md, the list of all settings, from the code.")
    .argument("<dir>", "directory of the pages")
    .addHelpText("after", "\nExample:\n  assay reference docs/reference")
    .action(async (dir: string) => {
      done(await reference(dir, io));
    });

  return program;
}
