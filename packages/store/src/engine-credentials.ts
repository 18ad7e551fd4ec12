/**
 * The embedded engine's logins and last port, kept in `connection.json` (readable by its owner only), so that what was set up to read from
 * it, such as Grafana, still can after a restart.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fchownSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Login } from "./engine-settings";

export interface Connection {
  /** 0 before the first start. */
  readonly port: number;
  readonly writer: Login;
  readonly reader: Login;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Reads the kept connection, or makes one; of two that make it at once, one wins and both get the same. */
export function openConnection(directory: string, owner: Owner | undefined): Connection {
  const file = join(directory, file_name);
  const kept = read(file);
  if (kept !== undefined) return kept;
  const made = { port: 0, writer: login("assay"), reader: login("assay_reader") };
  const draft = writeDraft(file, made, owner);
  try {
    linkSync(draft, file);
    return made;
  } catch (error) {
    const winner = read(file);
    if (winner === undefined) throw error;
    return winner;
  } finally {
    rmSync(draft);
  }
}

/** Notes the port on which the engine listens. */
export function keepConnection(directory: string, connection: Connection, owner: Owner | undefined): void {
  const file = join(directory, file_name);
  renameSync(writeDraft(file, connection, owner), file);
}

const file_name = "connection.json";
const password_bytes = 32;

function login(username: string): Login {
  return { username, password: randomBytes(password_bytes).toString("hex") };
}

function writeDraft(file: string, connection: Connection, owner: Owner | undefined): string {
  const draft = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  // A new file and its handle: a name could lead elsewhere by now, where the directory belongs to a user with fewer rights.
  const handle = openSync(draft, "wx", 0o600);
  try {
    if (owner !== undefined) fchownSync(handle, owner.uid, owner.gid);
    writeFileSync(handle, `${JSON.stringify(connection, null, 2)}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return draft;
}

function read(file: string): Connection | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const value = parse(text);
  if (!isConnection(value)) throw new Error(`${file} is damaged; remove it and the engine makes new passwords`);
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isConnection(value: unknown): value is Connection {
  if (typeof value !== "object" || value === null) return false;
  const { port, writer, reader } = value as Record<string, unknown>;
  return Number.isInteger(port) && isLogin(writer) && isLogin(reader);
}

/** Names and passwords become parts of XML and of headers, so only plain ones pass. */
function isLogin(value: unknown): value is Login {
  if (typeof value !== "object" || value === null) return false;
  const { username, password } = value as Record<string, unknown>;
  return (
    typeof username === "string" && /^[a-z_]+$/.test(username) && typeof password === "string" && /^[0-9a-f]{64}$/.test(password)
  );
}
