/** Asks the coordinator for something and waits for its answer, which it writes to control under the command's id. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import type { CommandBody } from "./commands";
import type { Answer } from "./entities";
import type { ControlView } from "./follow";

const answer_wait_ms_max = 15_000;
const answer_poll_ms = 50;

/** The coordinator didn't answer in time; the command stands in the log and may still be carried out. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";
}

export async function ask(log: Log, codec: Codec, control: ControlView, body: CommandBody, by: string): Promise<Answer> {
  const command_id = await appendCommand(log, codec, body, by);
  const answer = await awaitAnswer(control, command_id, answer_wait_ms_max);
  if (answer) return answer;
  throw new NoAnswerError(
    `no answer to ${body.type} within ${answer_wait_ms_max} ms: is the correlator, which coordinates, running?`,
  );
}

/** Returns the command's id. Once it is appended it will be carried out, whenever a coordinator runs. */
export async function appendCommand(log: Log, codec: Codec, body: CommandBody, by: string): Promise<string> {
  const command_id = randomUUID();
  const { type, ...rest } = body;
  const value = codec.encode("Command", { command_id, at: Date.now(), by, type, body: JSON.stringify(rest) });
  await log.append([{ topic: topics.commands.name, key: "id" in body ? body.id : type, value }]);
  return command_id;
}

/** Undefined where none came in time. */
export async function awaitAnswer(control: ControlView, command_id: string, wait_ms: number): Promise<Answer | undefined> {
  const deadline = Date.now() + wait_ms;
  for (;;) {
    await control.refresh();
    const answer = control.answerTo(command_id);
    if (answer || Date.now() >= deadline) return answer;
    await sleep(answer_poll_ms);
  }
}
