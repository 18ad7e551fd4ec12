/**
 * `assay setup`: everything that services need before they can start, made or found as it should be. Each step can be repeated, and
 * a step that fails leaves what the steps before it made.
 *
 *   tables ─▶ schemas ─▶ topics ─▶ commands to the coordinator: rule packages, the report API's first key
 *
 * Commands stand in the log once they are appended: a correlator that starts later carries them out. So the setup needs none; where one
 * runs it waits for the answers.
 */
import { randomBytes } from "node:crypto";
import { appendCommand, awaitAnswer } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import { ControlView } from "@assay/control/follow";
import type { Logger } from "@assay/runtime/logger";
import { allTopics } from "@assay/schemas/topics";
import { connectStore } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import type { KafkaLog } from "@assay/stream/kafka-log";
import { sha256 } from "../embedded/data-directory";
import type { RulePackages } from "../embedded/rule-packages";
import { UserError } from "../io";
import { abortable } from "./abortable";
import { type OpenLog, openKafka } from "./open-log";
import { type PendingCommand, pendingCommands } from "./pending-commands";
import type { KafkaSettings } from "./settings";
import { type StoreLogin, storeOptions } from "./store-login";
import { differenceLines } from "./topic-table";

export interface SetupPlan {
  readonly kafka: KafkaSettings;
  readonly store: StoreLogin;
  readonly packages: RulePackages["packages"];
  /** Undefined: made at the first setup. */
  readonly api_key: string | undefined;
  readonly enrol_secret: string | undefined;
  readonly wait_ms: number;
}

export interface SetupParts {
  readonly logger: Logger;
  /** What was done: a line for the user. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface SetupResult {
  /** Commands that no coordinator has answered within the wait. */
  readonly unanswered: number;
}

const key_id = "setup";
const asked_by = "assay setup";
const secret_bytes = 32;

/** Rejects, UserError or else, where something can't be made or used as it is. */
export async function setUp(plan: SetupPlan, { logger, say, signal }: SetupParts): Promise<SetupResult> {
  say(await setUpStore(plan.store));
  signal.throwIfAborted();
  const opened = await abortable(openKafka(plan.kafka, "assay-setup", logger), signal, (late) => late.close());
  try {
    say("schemas     registered, each the one to write with");
    for (const line of await setUpTopics(opened.log)) say(line);
    signal.throwIfAborted();
    return await askCoordinator(plan, opened, say, signal);
  } finally {
    await opened.close();
  }
}

async function setUpStore(login: StoreLogin): Promise<string> {
  const store = connectStore(storeOptions(login));
  try {
    const applied = await migrate(store, login.cluster === undefined ? {} : { cluster: login.cluster });
    return `tables      ${applied.length === 0 ? "up to date" : `migrated: ${applied.join(", ")}`}`;
  } finally {
    await store.close();
  }
}

async function setUpTopics(log: KafkaLog): Promise<string[]> {
  const before = await log.checkTopics(allTopics);
  const fatal = before.some((check) => check.differences.some((d) => d.fatal));
  const found = differenceLines(before.filter((check) => check.exists));
  if (fatal) throw new UserError(`the topics can't be used as they are:\n  ${found.join("\n  ")}`);
  await log.ensureTopics(allTopics);
  const made = before.filter((check) => !check.exists).length;
  const what = made === 0 ? "all there" : `${made} of ${allTopics.length} made now`;
  return [`topics      ${what}`, ...found.map((line) => `warning: ${line}`)];
}

interface Wanted {
  readonly bodies: readonly CommandBody[];
  readonly lines: readonly string[];
}

async function askCoordinator(
  plan: SetupPlan,
  { log, codec }: OpenLog,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<SetupResult> {
  const control = await ControlView.open(log, codec);
  const pending = await pendingCommands(log, codec);
  const wanted = [wantedPackages(plan, control, pending), wantedKey(plan, control, pending)];
  const asked = pending.filter(({ body }) => body.type === "activate_package" || (body.type === "put_key" && body.id === key_id));
  const commands = asked.map(({ command_id, body }) => ({ command_id, body }));
  for (const body of wanted.flatMap(({ bodies }) => bodies))
    commands.push({ command_id: await appendCommand(log, codec, body, asked_by), body });
  // Printed once they stand in the log: a key that nobody saw would be of no use, and one that isn't asked for neither.
  for (const line of wanted.flatMap(({ lines }) => lines)) say(line);
  if (commands.length === 0) return { unanswered: 0 };
  const deadline = Date.now() + plan.wait_ms;
  let unanswered = 0;
  for (const { command_id, body } of commands) {
    signal.throwIfAborted();
    const answer = await awaitAnswer(control, command_id, Math.max(0, deadline - Date.now()));
    if (answer === undefined) unanswered++;
    else if (answer.result === "rejected") throw new UserError(`${body.type} was refused: ${answer.reason}, ${answer.detail}`);
  }
  return { unanswered };
}

function wantedPackages(plan: SetupPlan, control: ControlView, pending: readonly PendingCommand[]): Wanted {
  const bodies: CommandBody[] = [];
  let in_force = 0;
  let asked_before = 0;
  for (const { name, version, digest, files } of plan.packages) {
    const latest = pending.findLast(({ body }) => body.type === "activate_package" && body.package.name === name)?.body;
    const waiting = latest?.type === "activate_package" ? latest.package.digest : undefined;
    if (waiting === digest) asked_before++;
    else if (waiting === undefined && control.latest("package", name)?.value.digest === digest) in_force++;
    else bodies.push({ type: "activate_package", package: { name, version, digest, files: [...files] } });
  }
  const counts = [
    `${in_force} of ${plan.packages.length} in force`,
    ...(asked_before > 0 ? [`${asked_before} asked for at an earlier setup`] : []),
    ...(bodies.length > 0 ? [`${bodies.length} asked for now`] : []),
  ];
  return { bodies, lines: [`packages    ${counts.join(", ")}`] };
}

function wantedKey({ api_key, enrol_secret }: SetupPlan, control: ControlView, pending: readonly PendingCommand[]): Wanted {
  const known = control.latest("key", key_id);
  const latest = pending.findLast(({ body }) => body.type === "put_key" && body.id === key_id)?.body;
  const waiting = latest?.type === "put_key" ? latest : undefined;
  const key = waiting?.key ?? known?.value;
  const version = waiting ? waiting.expected_version + 1 : (known?.version ?? 0);
  const put = (secret: string): CommandBody => ({
    type: "put_key",
    id: key_id,
    expected_version: version,
    key: { name: "of the setup", role: "admin", key_sha256: sha256(secret), revoked: false },
  });
  if (api_key !== undefined) {
    if (key?.key_sha256 === sha256(api_key) && !key.revoked) return { bodies: [], lines: ["API key     as it should be"] };
    return {
      bodies: [put(api_key)],
      lines: [`API key     the given one, ${key ? "in place of an earlier one" : "asked for now"}`],
    };
  }
  if (key) return { bodies: [], lines: [`API key     made at an earlier setup${key.revoked ? ", and revoked since" : ""}`] };
  const made = newSecret();
  const lines = ["API key     made now; it is shown this once, with the role admin:", `  ${made}`];
  if (enrol_secret === undefined) {
    lines.push(
      "enrolment   ASSAY_ENROL_SECRET is not set: without it ingest enrols no agents. One made now, shown this once and kept nowhere,",
      "            for every ingest (ASSAY_ENROL_SECRET) and for the agents (ASSAY_AGENT_ENROL_SECRET):",
      `  ${newSecret()}`,
    );
  }
  return { bodies: [put(made)], lines };
}

function newSecret(): string {
  return randomBytes(secret_bytes).toString("base64url");
}
