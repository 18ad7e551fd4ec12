/**
 * Work on the log of a data directory at rest, in a process of its own: as the owner of the data directory's services/, so that it reads what
 * is theirs and leaves nothing behind that they can't use. While `assay up` runs, the log is its alone (one process owns it), so this is
 * refused then.
 */
import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { type Io, UserError } from "../io";
import { checkDataDirectory, type DataDirectory } from "./data-directory";
import { runningHolder } from "./lock-file";

/** what: that is to be done, in the message to who has it running. Throws UserError. */
export function requireAtRest(data: DataDirectory, what: string, io: Pick<Io, "uid">): void {
  if (!existsSync(data.services)) throw new UserError(`there is no data in ${data.root} yet (--data, ASSAY_DATA_DIR)`);
  checkDataDirectory(data, io.uid);
  const holder = runningHolder(data.lock);
  if (holder === undefined) return;
  throw new UserError(
    `${data.root} is in use by process ${holder}: stop that one first, then ${what}, because while it runs nobody else may open the log, which goes on; or name other data (--data, ASSAY_DATA_DIR)`,
  );
}

/** Rejects with UserError where the work fails: what the child says, or how it ended. */
export function orderAtRest<Order extends object, Answer extends object>(
  script: string,
  order: Order,
  data: DataDirectory,
  io: Pick<Io, "env" | "uid">,
): Promise<Answer> {
  const owner = statSync(data.services);
  const env = Object.fromEntries(Object.entries(io.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  const child = spawn(process.execPath, [script], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env,
    cwd: "/",
    ...(io.uid === 0 ? { uid: owner.uid, gid: owner.gid } : {}),
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-said_length_max);
  });
  return new Promise((resolve, reject) => {
    let answer: Answer | { readonly failed: string } | undefined;
    const settle = (failure: string) => {
      if (answer === undefined) reject(new UserError(failure));
      else if ("failed" in answer) reject(new UserError(answer.failed));
      else resolve(answer);
    };
    child.on("message", (message) => {
      answer = message as Answer | { readonly failed: string };
    });
    child.once("error", (error) => settle(error.message));
    child.once("close", (code) => settle(`its process ended with exit code ${code}: ${said.trim()}`));
    child.send(order, () => undefined);
  });
}

const said_length_max = 2_000;

/** The child's side: takes the one order, answers it, and resolves with the exit code. */
export async function answerAtRest<Order, Answer extends object>(
  hosted: NodeJS.Process,
  work: (order: Order) => Promise<Answer>,
): Promise<number> {
  hosted.on("disconnect", () => hosted.exit(1)); // nobody waits for it
  hosted.on("SIGINT", () => undefined);
  const order = await new Promise<Order>((resolve) => hosted.once("message", (message) => resolve(message as Order)));
  let answer: Answer | { readonly failed: string };
  try {
    answer = await work(order);
  } catch (error) {
    answer = { failed: error instanceof Error ? error.message : String(error) };
  }
  await new Promise((resolve) => hosted.send?.(answer, resolve));
  return 0;
}
