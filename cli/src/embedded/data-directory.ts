/**
 * The data directory, and who may see what in it:
 *
 *   DATA/                  of the user who starts Assay; 0700, or 0711 where the services run as another user
 *     up.lock              the process that has it now
 *     report-api.key       the report API's key, 0600
 *     enrolment.secret     what agents enrol with, 0600
 *     windows.json         how long its windows are
 *     logs/                of the services and the agent, 0700
 *     agent/               the agent's identity and state, 0700: of the agent's user
 *     services/            the log and the engine, 0700: of the services' user
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type Io, UserError } from "../io";
import type { ServicesUser } from "./services-user";

export interface DataDirectory {
  readonly root: string;
  readonly lock: string;
  readonly key_file: string;
  readonly secret_file: string;
  readonly windows_file: string;
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
    logs: at("logs"),
    agent: at("agent"),
    services: at("services"),
  };
}

function defaultRoot({ env, uid }: Pick<Io, "env" | "uid">): string {
  if (uid === 0) return "/var/lib/assay";
  return join(env.XDG_DATA_HOME || join(env.HOME || homedir(), ".local/share"), "assay");
}

/** Makes what is missing, sets owners and modes. Throws UserError. */
export function prepareDataDirectory(data: DataDirectory, user: ServicesUser): void {
  try {
    mkdirSync(data.root, { recursive: true, mode: 0o700 });
    chmodSync(data.root, user.other ? 0o711 : 0o700);
    for (const directory of [data.logs, data.agent, data.services]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      chmodSync(directory, 0o700);
    }
    // An earlier start may have had another user: what is there changes hands once, when it does.
    const owner = user.other ?? { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };
    if (process.getuid?.() === 0 && lstatSync(data.services).uid !== owner.uid) changeOwner(data.services, owner);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
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

function changeOwner(path: string, owner: { readonly uid: number; readonly gid: number }): void {
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) changeOwner(join(path, name), owner);
  lchownSync(path, owner.uid, owner.gid);
}

const secret_bytes = 32;

/** The secret that a file holds; made on the first start, readable by its owner alone. */
export function secretIn(file: string): string {
  try {
    const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    const secret = randomBytes(secret_bytes).toString("base64url");
    writeSync(fd, `${secret}\n`);
    closeSync(fd);
    return secret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const secret = readFileSync(file, "utf8").trim();
    if (secret === "") throw new UserError(`${file} is empty: remove it, and the next start makes a new one`);
    return secret;
  }
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
