/**
 * The data directory, and who may see what in it:
 *
 *   DATA/                  of the user who starts Assay; 0700, or 0711 where the services run as another user
 *     up.lock              the process that has it now
 *     report-api.key       the report API's key, 0600
 *     enrolment.secret     what agents enrol with, 0600
 *     windows.json         how long its windows are; windows-kafka.json: those of its work on Kafka
 *     logs/                of the services and the agent, 0700
 *     agent/               the agent's identity and state, 0700: of the agent's user
 *     services/            the log, and the engine for it or for what is on Kafka, 0700: of the services' user
 *
 * Whatever of it belongs to anybody else, or could have been written by others, is refused (ownership.ts).
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync, realpathSync, rmSync, statSync, writeSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type Io, UserError } from "../io";
import { handOver } from "./hand-over";
import { checkDirectory, checkFile, readSecret } from "./ownership";
import type { ServicesUser } from "./services-user";

export interface DataDirectory {
  readonly root: string;
  readonly lock: string;
  readonly key_file: string;
  readonly secret_file: string;
  readonly windows_file: string;
  readonly kafka_windows_file: string;
  readonly logs: string;
  readonly agent: string;
  readonly services: string;
}

/** --data, else ASSAY_DATA_DIR, else by the user who asks. */
export function dataDirectory(option: string | undefined, io: Pick<Io, "env" | "uid">): DataDirectory {
  const given = option ?? (io.env.ASSAY_DATA_DIR || undefined);
  const root = resolve(given ?? defaultRoot(io));
  const at = (name: string) => join(root, name);
  return {
    root,
    lock: at("up.lock"),
    key_file: at("report-api.key"),
    secret_file: at("enrolment.secret"),
    windows_file: at("windows.json"),
    kafka_windows_file: at("windows-kafka.json"),
    logs: at("logs"),
    agent: at("agent"),
    services: at("services"),
  };
}

function defaultRoot({ env, uid }: Pick<Io, "env" | "uid">): string {
  if (uid === 0) return "/var/lib/assay";
  return join(env.XDG_DATA_HOME || join(env.HOME || homedir(), ".local/share"), "assay");
}

/** Makes what is missing, and checks whose the rest is. uid: who starts Assay. Changes nothing that a running Assay stands on. Throws UserError. */
export function prepareDataDirectory(data: DataDirectory, user: ServicesUser, uid: number): void {
  usable(data, () => {
    mkdirSync(data.root, { recursive: true, mode: private_mode });
    checkDirectory(data.root, { owners: [uid] });
    for (const directory of [data.logs, data.agent, data.services]) mkdirSync(directory, { recursive: true, mode: private_mode });
    for (const directory of [data.logs, data.agent]) checkDirectory(directory, { owners: [uid], mode: private_mode });
    checkDirectory(data.services, { owners: servicesOwners(user, uid), mode: private_mode, setting: "ASSAY_USER" });
    checkFiles(data, uid);
  });
}

/** For who only reads: the same checks of what is there; nothing is made or changed. services/ may be any services' user's. Throws UserError. */
export function checkDataDirectory(data: DataDirectory, uid: number): void {
  usable(data, () => {
    checkDirectory(data.root, { owners: [uid] });
    checkFiles(data, uid);
  });
}

/**
 * Lets the services' user in, and nobody else. An earlier start may have had another one: what is there changes hands once, when it does.
 * For who holds the lock. Throws UserError.
 */
export function giveToServices(data: DataDirectory, user: ServicesUser, uid: number): void {
  usable(data, () => {
    checkDirectory(data.root, { owners: [uid], mode: user.other ? passable_mode : private_mode });
    if (uid !== 0) return;
    const to = user.other ?? { uid, gid: process.getgid?.() ?? uid };
    if (statSync(data.services).uid === to.uid) return;
    handOver({ path: realpathSync(data.services), from: servicesOwners(user, uid), to });
  });
}

const private_mode = 0o700;
/** Others may pass to what is theirs in it, and see nothing. */
const passable_mode = 0o711;

function servicesOwners({ named }: ServicesUser, uid: number): number[] {
  return named ? [uid, named.uid] : [uid];
}

function checkFiles(data: DataDirectory, uid: number): void {
  for (const file of [data.lock, data.key_file, data.secret_file, data.windows_file, data.kafka_windows_file])
    checkFile(file, uid);
}

function usable(data: DataDirectory, work: () => void): void {
  try {
    work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UserError) throw new UserError(`can't use ${data.root} as the data directory: ${message}`);
    const why = reasons[code ?? ""] ?? message;
    throw new UserError(`can't use ${data.root} as the data directory: ${why} (--data, ASSAY_DATA_DIR)`);
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "this user may not write there",
  EPERM: "it belongs to another user",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of the path is not a directory",
  EEXIST: "it is not a directory",
  ENOSPC: "the disk is full",
};

const secret_bytes = 32;

/** The secret that a file holds; made on the first start, readable by its owner alone. Throws UserError where it is no secret of the owner's. */
export function secretIn(file: string, owner: number): string {
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const secret = readSecret(file, owner);
    if (secret === "") throw new UserError(`${file} is empty: remove it, and the next start makes a new one`);
    return secret;
  }
  const secret = randomBytes(secret_bytes).toString("base64url");
  try {
    writeSync(fd, `${secret}\n`);
    return secret;
  } catch (error) {
    rmSync(file); // half a secret would be taken for a whole one
    throw error;
  } finally {
    closeSync(fd);
  }
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
