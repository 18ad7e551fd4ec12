/**
 * `assay dead-letters`: what could not be used, why, and back into the log with it. On Kafka at any time. The embedded log is owned by a
 * running `assay up`, and the report API has no part in this: the bytes of agents' records are for who may read the data directory. So
 * that log has to be at rest.
 */
import { existsSync, writeFileSync } from "node:fs";
import { ingestRelations, ingestSettings } from "@assay/ingest/settings";
import { createLogger } from "@assay/runtime/logger";
import { readSettings } from "@assay/runtime/settings";
import { type LetterFilter, type LetterId, parseLetterId } from "../dead-letters/letter";
import { type LettersAnswer, type LettersRequest, perform } from "../dead-letters/perform";
import type { LettersOrder } from "../dead-letters/perform-in-directory";
import { letterTable, visible } from "../dead-letters/show";
import { openExisting } from "../distributed/open-log";
import { readDistributedSettings } from "../distributed/read-settings";
import { onKafka } from "../distributed/settings";
import { forCommand, withServers } from "../distributed/with-servers";
import { orderAtRest, requireAtRest } from "../embedded/at-rest";
import { deadLettersScript } from "../embedded/code-paths";
import { dataDirectory } from "../embedded/data-directory";
import { exitCodes, type Io, UserError } from "../io";
import { formatCount } from "../report/columns";
import { settingsError } from "../settings-error";

interface Common {
  readonly data?: string;
}
export interface ListArguments extends Common {
  readonly reason?: string;
  readonly topic?: string;
  /** ms: how far back. */
  readonly since?: number;
  readonly limit: number;
  readonly format: "table" | "json";
}
export interface ShowArguments extends Common {
  readonly raw?: string;
  readonly format: "table" | "json";
}
export interface ReplayArguments extends Common {
  readonly reason?: string;
  readonly topic?: string;
  readonly since?: number;
  readonly yes?: boolean;
}

export async function listDeadLetters(options: ListArguments, io: Io): Promise<number> {
  const answer = await ask({ action: "list", filter: filterOf(options), letters_max: options.limit }, options, io);
  if (answer.action !== "list") throw unexpected(answer);
  const { lines, total } = answer;
  if (options.format === "json") {
    io.stdout.write(`${JSON.stringify({ total, dead_letters: lines }, null, 2)}\n`);
    return exitCodes.ok;
  }
  const more = total - lines.length;
  if (total === 0) io.stdout.write("There are no such dead letters.\n");
  else io.stdout.write(`${letterTable(lines)}\n`);
  if (more > 0) io.stdout.write(`… and ${formatCount(more)} more, older ones (--limit, --since)\n`);
  return exitCodes.ok;
}

export async function showDeadLetter(id: LetterId, options: ShowArguments, io: Io): Promise<number> {
  const answer = await ask({ action: "show", id }, options, io);
  if (answer.action !== "show") throw unexpected(answer);
  const { found } = answer;
  if (!found) throw new UserError(`there is no dead letter ${id.partition}:${id.offset} (any more)`);
  if (options.raw !== undefined) {
    if (found.base64 === null) throw new UserError("its bytes were not kept");
    writeRaw(options.raw, Buffer.from(found.base64, "base64"));
    io.stderr.write(`wrote ${options.raw}\n`);
  } else if (options.format === "json") {
    const decoded: unknown = found.decoded === undefined ? null : JSON.parse(found.decoded);
    io.stdout.write(`${JSON.stringify({ ...found.line, decoded, base64: found.base64 }, null, 2)}\n`);
  } else io.stdout.write(found.text);
  return exitCodes.ok;
}

export async function replayDeadLetters(id: LetterId | undefined, options: ReplayArguments, io: Io): Promise<number> {
  const filter = filterOf(options);
  const hasFilter = Object.keys(filter).length > 0;
  if (id !== undefined && hasFilter) throw new UserError("name one dead letter, or filters, not both");
  if (id === undefined && !hasFilter)
    throw new UserError("say which: an id, or --reason, --topic or --since (assay dead-letters list shows them)");
  const really = id !== undefined || options.yes === true;
  const which = id === undefined ? { filter } : { id };
  const answer = await ask({ action: "replay", which, limits: ingestLimits(io), really }, options, io);
  if (answer.action !== "replay") throw unexpected(answer);
  const { replayed, not, reasons } = answer;
  if (id !== undefined && replayed + not === 0)
    throw new UserError(`there is no dead letter ${id.partition}:${id.offset} (any more)`);
  for (const reason of reasons) io.stdout.write(`${reason.id} can't be replayed: ${visible(reason.not)}\n`);
  if (not > reasons.length) io.stdout.write(`… and ${formatCount(not - reasons.length)} more that can't be replayed\n`);
  io.stdout.write(
    really
      ? `${formatCount(replayed)} replayed, ${formatCount(not)} not\n`
      : `${formatCount(replayed)} would be replayed, ${formatCount(not)} not; nothing was done: --yes does it\n`,
  );
  return really && id !== undefined && replayed === 0 ? exitCodes.failed : exitCodes.ok;
}

export function letterId(text: string): LetterId {
  const id = parseLetterId(text);
  if (!id) throw new UserError(`${JSON.stringify(text)} is no id of a dead letter: partition:offset, as in 3:17`);
  return id;
}

function filterOf({ reason, topic, since }: Pick<ListArguments, "reason" | "topic" | "since">): LetterFilter {
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(topic === undefined ? {} : { topic }),
    ...(since === undefined ? {} : { since: Date.now() - since }),
  };
}

async function ask(request: LettersRequest, { data: directory }: Common, io: Io): Promise<LettersAnswer> {
  if (!onKafka(io.env)) {
    const data = dataDirectory(directory, io);
    requireAtRest(data, "look at its dead letters", io);
    const order: LettersOrder = { directory: data.services, request };
    return orderAtRest<LettersOrder, LettersAnswer>(deadLettersScript, order, data, io);
  }
  if (directory !== undefined) throw new UserError("--data is for the embedded log, and ASSAY_KAFKA_BROKERS names Kafka");
  const { kafka } = readDistributedSettings(io.env, { command: "assay dead-letters", store: false }, {});
  return withServers(request.action === "replay" ? "replay dead letters" : "look at dead letters", async () => {
    const logger = createLogger({ service: "dead-letters", level: "warn" });
    const opened = await openExisting(forCommand(kafka), "assay-dead-letters", logger);
    try {
      return await perform(request, opened, Date.now());
    } finally {
      await opened.close();
    }
  });
}

/** As ingest has them here: what it would refuse isn't replayed. */
function ingestLimits(io: Io): { readonly events_max: number; readonly text_bytes_max: number } {
  const read = readSettings(ingestSettings, io.env, ingestRelations);
  if (!read.ok) throw settingsError(read.problems);
  const { events_max, text_bytes_max } = read.settings;
  return { events_max, text_bytes_max };
}

/** Never over a file that is there. */
function writeRaw(file: string, bytes: Buffer): void {
  try {
    if (existsSync(file)) throw new Error("it is there already");
    writeFileSync(file, bytes, { flag: "wx", mode: 0o600 });
  } catch (error) {
    throw new UserError(`can't write ${file}: ${(error as Error).message} (--raw)`);
  }
}

function unexpected(answer: LettersAnswer): Error {
  return new Error(`an answer to ${answer.action} came to another question`);
}
