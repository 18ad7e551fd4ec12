/**
 * What a setup asks of the coordinator: that the rule packages are in force, and that the report API has a first key. What an earlier setup
 * has asked for isn't asked for again.
 *
 * Setups may run at the same time, also where no coordinator runs. They read each other's commands: of those that put the same version of the
 * key, the first in the log counts, and only its setup shows a key.
 */
import { randomBytes } from "node:crypto";
import { appendCommand, awaitAnswer } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import { ControlView } from "@assay/control/follow";
import { sha256 } from "../embedded/data-directory";
import type { RulePackages } from "../embedded/rule-packages";
import { UserError } from "../io";
import type { OpenLog } from "./open-log";
import { commandsFrom, type PendingCommand, pendingFrom } from "./pending-commands";

export interface CoordinatorPlan {
  readonly packages: RulePackages["packages"];
  /** Undefined: made at the first setup. */
  readonly api_key: string | undefined;
  readonly enrol_secret: string | undefined;
  readonly wait_ms: number;
}

export interface SetupResult {
  /** Commands that no coordinator has answered within the wait. */
  readonly unanswered: number;
}

const key_id = "setup";
const asked_by = "assay setup";
const secret_bytes = 32;

interface Wanted {
  readonly bodies: readonly CommandBody[];
  /** Of an earlier setup, which stand in the log and say the same. */
  readonly asked: readonly PendingCommand[];
  readonly lines: readonly string[];
}

/** Throws UserError where what is asked for is refused. say: a line for the user. */
export async function askCoordinator(
  plan: CoordinatorPlan,
  { log, codec }: Pick<OpenLog, "log" | "codec">,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<SetupResult> {
  // In this order: what is carried out in between is seen twice, and not missed.
  const from = await pendingFrom(log);
  const pending = await commandsFrom(log, codec, from);
  const control = await ControlView.open(log, codec);
  const append = async (body: CommandBody): Promise<PendingCommand> => ({
    command_id: await appendCommand(log, codec, body, asked_by),
    body,
  });
  const packages = wantedPackages(plan, control, pending);
  const key = wantedKey(plan, control, pending);
  const commands = [...packages.asked, ...key.asked];
  for (const body of packages.bodies) commands.push(await append(body));
  for (const line of packages.lines) say(line);
  let { lines } = key;
  for (const body of key.bodies) {
    const ours = await append(body);
    const first = firstPut(ours, await commandsFrom(log, codec, from));
    commands.push(first);
    if (first !== ours) lines = [afterAnother(plan, first)];
  }
  // Shown once it stands in the log and counts: another one would be of no use.
  for (const line of lines) say(line);
  return { unanswered: await unansweredOf(commands, control, plan.wait_ms, signal) };
}

/** How many have no answer by then. */
async function unansweredOf(
  commands: readonly PendingCommand[],
  control: ControlView,
  wait_ms: number,
  signal: AbortSignal,
): Promise<number> {
  const deadline = Date.now() + wait_ms;
  let unanswered = 0;
  for (const { command_id, body } of commands) {
    signal.throwIfAborted();
    const answer = await awaitAnswer(control, command_id, Math.max(0, deadline - Date.now()));
    if (answer === undefined) unanswered++;
    else if (answer.result === "rejected") throw new UserError(`${body.type} was refused: ${answer.reason}, ${answer.detail}`);
  }
  return unanswered;
}

/** The command that is carried out of those that put the version of the key which ours puts: ours, or one of another setup. */
function firstPut(ours: PendingCommand, commands: readonly PendingCommand[]): PendingCommand {
  const first = commands.find(
    ({ body }) => isPut(body) && isPut(ours.body) && body.expected_version === ours.body.expected_version,
  );
  return first === undefined || first.command_id === ours.command_id ? ours : first;
}

/** The line to show; throws UserError where a key was given and isn't the one. */
function afterAnother({ api_key }: CoordinatorPlan, { body }: PendingCommand): string {
  if (api_key === undefined) return "API key     made by another setup at the same time, which shows it";
  if (isPut(body) && body.key.key_sha256 === sha256(api_key))
    return "API key     as it should be, by another setup at the same time";
  throw new UserError("another setup put another API key at the same time (ASSAY_API_KEY): run this one again for its own");
}

type PutKey = Extract<CommandBody, { type: "put_key" }>;

function isPut(body: CommandBody): body is PutKey {
  return body.type === "put_key" && body.id === key_id;
}

function wantedPackages(plan: CoordinatorPlan, control: ControlView, pending: readonly PendingCommand[]): Wanted {
  const bodies: CommandBody[] = [];
  const asked: PendingCommand[] = [];
  let in_force = 0;
  for (const { name, version, digest, files } of plan.packages) {
    const latest = pending.findLast(({ body }) => body.type === "activate_package" && body.package.name === name);
    const waiting = latest?.body.type === "activate_package" ? latest.body.package.digest : undefined;
    if (latest && waiting === digest) asked.push(latest);
    else if (waiting === undefined && control.latest("package", name)?.value.digest === digest) in_force++;
    else bodies.push({ type: "activate_package", package: { name, version, digest, files: [...files] } });
  }
  const counts = [
    `${in_force} of ${plan.packages.length} in force`,
    ...(asked.length > 0 ? [`${asked.length} asked for at an earlier setup`] : []),
    ...(bodies.length > 0 ? [`${bodies.length} asked for now`] : []),
  ];
  return { bodies, asked, lines: [`packages    ${counts.join(", ")}`] };
}

function wantedKey({ api_key, enrol_secret }: CoordinatorPlan, control: ControlView, pending: readonly PendingCommand[]): Wanted {
  const known = control.latest("key", key_id);
  let key = known?.value;
  let version = known?.version ?? 0;
  let waiting: PendingCommand | undefined;
  // As the coordinator will: one for another version is refused, or was carried out.
  for (const command of pending) {
    if (!isPut(command.body) || command.body.expected_version !== version) continue;
    key = command.body.key;
    version++;
    waiting = command;
  }
  const asked = waiting ? [waiting] : [];
  const put = (secret: string): CommandBody => ({
    type: "put_key",
    id: key_id,
    expected_version: version,
    key: { name: "of the setup", role: "admin", key_sha256: sha256(secret), revoked: false },
  });
  if (api_key !== undefined) {
    if (key?.key_sha256 === sha256(api_key) && !key.revoked) return { bodies: [], asked, lines: ["API key     as it should be"] };
    return {
      bodies: [put(api_key)],
      asked: [],
      lines: [`API key     the given one, ${key ? "in place of an earlier one" : "asked for now"}`],
    };
  }
  if (key)
    return { bodies: [], asked, lines: [`API key     made at an earlier setup${key.revoked ? ", and revoked since" : ""}`] };
  const made = newSecret();
  const lines = ["API key     made now; it is shown this once, with the role admin:", `  ${made}`];
  if (enrol_secret === undefined) {
    lines.push(
      "enrolment   ASSAY_ENROL_SECRET is not set: without it ingest enrols no agents. One made now, shown this once and kept nowhere,",
      "            for every ingest (ASSAY_ENROL_SECRET) and for the agents (ASSAY_AGENT_ENROL_SECRET):",
      `  ${newSecret()}`,
    );
  }
  return { bodies: [put(made)], asked: [], lines };
}

function newSecret(): string {
  return randomBytes(secret_bytes).toString("base64url");
}
