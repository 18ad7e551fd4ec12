/** The commands of the distributed mode, and of dead letters, as they are typed. */
import { type Command, Option } from "commander";
import { parseWait } from "../arguments";
import { command, dataOption, formatOption, parseCount } from "../command";
import { serviceNames } from "../embedded/thread-messages";
import type { Io } from "../io";
import {
  type ListArguments,
  letterId,
  listDeadLetters,
  type ReplayArguments,
  replayDeadLetters,
  type ShowArguments,
  showDeadLetter,
} from "./dead-letters";
import { service } from "./service";
import { type SetupArguments, setup } from "./setup";
import { type TopicsArguments, topicActions, topics } from "./topics";

type Done = (code: number) => void;

const listed_default = 50;
const listed_max = 10_000;

export function addDistributedCommands(program: Command, io: Io, done: Done): void {
  addSetup(program, io, done);
  addService(program, io, done);
  addTopics(program, io, done);
  addDeadLetters(program, io, done);
}

function addSetup(program: Command, io: Io, done: Done): void {
  command(program, "setup")
    .summary("make topics, schemas and tables on Kafka and ClickHouse")
    .description(
      "Makes what services need on Kafka, the schema registry and ClickHouse, or checks that it is there as it should be: tables, schemas, topics, rule packages in force, and a first API key, which is printed once. It can be run again at any time, and has to be after an upgrade.",
    )
    .addOption(
      new Option(
        "--wait <time>",
        "how long to wait until the correlator has put rule packages and key in force; not in time is a failure then (default: 10s, and none)",
      ).argParser(parseWait),
    )
    .addHelpText(
      "after",
      `
Examples:
  assay setup
  assay setup --wait 2m             after an upgrade, with the services running

The servers are those of ASSAY_KAFKA_BROKERS (kafka:9092), ASSAY_SCHEMA_REGISTRY_URL (http://registry:8080/apis/ccompat/v7)
and ASSAY_CLICKHOUSE_URL (http://clickhouse:8123), with the settings beside them in docs/reference/settings.md.
Services wait for the setup, and the setup needs none of them: start them in any order.
Exit codes: 0 done; 1 not, or not in force after --wait; 2 wrong arguments; 130 interrupted.`,
    )
    .action(async (options: SetupArguments) => done(await setup(options, io)));
}

function addService(program: Command, io: Io, done: Done): void {
  const group = command(program, "service")
    .summary("run one service, on Kafka and ClickHouse")
    .description(
      "Runs one service in this process, until SIGTERM or Ctrl-C: it finishes its work in hand and leaves its groups; a second signal ends it at once. Any number of replicas share the work. /live, /ready and /metrics are at ASSAY_METRICS_HOST and ASSAY_METRICS_PORT.",
    )
    .addHelpText(
      "after",
      `
Examples:
  assay service correlator
  ASSAY_INGEST_HOST=0.0.0.0 ASSAY_METRICS_HOST=0.0.0.0 assay service ingest

Exit codes: 0 stopped; 1 it could not start or go on; 2 wrong arguments; 3 it did not stop in time (ASSAY_STOP_WAIT_MS).`,
    );
  const needs = { ingest: "agents' gateway", correlator: "windows, assessments", evaluator: "rules", "report-api": "HTTP API" };
  for (const name of serviceNames) {
    command(group, name)
      .description(`Runs ${name}: ${needs[name]}.`)
      .addHelpText("after", `\nExample:\n  assay service ${name}\n\nIts settings stand in docs/reference/settings.md.`)
      .action(async () => done(await service(name, io)));
  }
}

function addTopics(program: Command, io: Io, done: Done): void {
  const group = command(program, "topics")
    .summary("show, create or check the topics")
    .description("The topics that Assay works with, and what the Kafka of the settings has of them.")
    .addHelpText(
      "after",
      `
Examples:
  assay topics show
  assay topics check                exit code 1 where something differs
  assay topics create               those that are missing; what is there is never changed

Without ASSAY_KAFKA_BROKERS the log is the embedded one, which makes its topics itself: then there is only show.`,
    );
  const does = {
    show: "Shows all topics, and where the broker's differ.",
    create: "Makes those that are missing. What is there is never changed.",
    check: "Says where the broker's topics differ from what they should be.",
  };
  for (const action of topicActions) {
    command(group, action)
      .description(does[action])
      .addOption(formatOption("form of what is shown"))
      .addHelpText("after", `\nExample:\n  assay topics ${action}\n\nExit codes: 0 as they should be; 1 not; 2 wrong arguments.`)
      .action(async (options: TopicsArguments) => done(await topics(action, options, io)));
  }
}

function addDeadLetters(program: Command, io: Io, done: Done): void {
  const group = command(program, "dead-letters")
    .summary("show and replay what could not be used")
    .description(
      "Records that could not be used, each kept with its bytes and the reason. On Kafka at any time; of an embedded Assay while it is stopped, because its log has one owner.",
    )
    .addHelpText(
      "after",
      `
Examples:
  assay dead-letters list --reason unknown_schema --since 1d
  assay dead-letters show 3:17
  assay dead-letters replay --reason unknown_schema --yes`,
    );
  filters(command(group, "list"))
    .description("Lists dead letters, the newest last.")
    .addOption(
      new Option("--limit <n>", "show the newest of them, at most so many")
        .argParser(parseCount(listed_max))
        .default(listed_default),
    )
    .addOption(formatOption("form of the list"))
    .addOption(dataOption())
    .addHelpText("after", "\nExample:\n  assay dead-letters list --topic assay.telemetry --since 1h")
    .action(async (options: ListArguments) => done(await listDeadLetters(options, io)));
  command(group, "show")
    .description(
      "Shows one dead letter: where it was, why it is here, and its content, decoded where that is possible, else in hex.",
    )
    .argument("<id>", "as list shows it, such as 3:17")
    .option("--raw <file>", "write its bytes to this new file instead")
    .addOption(formatOption("form of what is shown"))
    .addOption(dataOption())
    .addHelpText("after", "\nExamples:\n  assay dead-letters show 3:17\n  assay dead-letters show 3:17 --raw batch.avro")
    .action(async (id: string, options: ShowArguments) => done(await showDeadLetter(letterId(id), options, io)));
  filters(command(group, "replay"))
    .description(
      "Appends the bytes of dead letters again, under their key, to their topic, and notes beside each that it was replayed. What would only be refused again, or was replayed already, is left.",
    )
    .argument("[id]", "one, as list shows it; without it all that the filters name")
    .option("--yes", "really do so for all that the filters name; without it they are only counted")
    .addOption(dataOption())
    .addHelpText(
      "after",
      "\nExamples:\n  assay dead-letters replay 3:17\n  assay dead-letters replay --reason unknown_schema --since 1d        counts\n  assay dead-letters replay --reason unknown_schema --since 1d --yes  replays",
    )
    .action(async (id: string | undefined, options: ReplayArguments) =>
      done(await replayDeadLetters(id === undefined ? undefined : letterId(id), options, io)),
    );
}

function filters(of: Command): Command {
  return of
    .option("--reason <word>", "only those with this reason, such as unknown_schema")
    .option("--topic <name>", "only those that were on this topic, or meant for it")
    .addOption(new Option("--since <time>", "only those not older than this: 30m, 12h, 7d").argParser(parseWait));
}
