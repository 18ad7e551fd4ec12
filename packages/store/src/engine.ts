/**
 * The embedded ClickHouse: a child process that serves HTTP on a loopback port, guarded by generated passwords.
 *
 *   starting → ready → (dies) → waiting → starting → ready …
 *   starting | ready | waiting → stopped (stop()), or → failed (restarts_max deaths in a row; those on a full disk don't count)
 *
 * Port and passwords stay the same over restarts, so clients only have to try again. The child ends with this process, however that ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fchmodSync, fchownSync, mkdirSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DiskFullError, isOutOfRoom, saysOutOfRoom } from "./disk-full";
import { type Connection, keepConnection, type Owner, openConnection } from "./engine-credentials";
import { afterDeath, no_deaths, restarts_max } from "./engine-restarts";
import {
  type Challenge,
  configXml,
  type EngineOrder,
  exit_code_disk_full,
  exit_code_in_use,
  type Login,
  usersXml,
} from "./engine-settings";

export interface EngineOptions {
  /** Made when missing, for the owner only; everything of the engine stands in it. */
  readonly directory: string;
  readonly logger: EngineLogger;
  /** Only this port, or an error. Without it: the port of last time, else any free one. */
  readonly port?: number;
  /** The user that the engine runs as and that owns the directory; only root can give one. */
  readonly owner?: Owner;
}

/** The part of a pino logger that the engine uses. */
export interface EngineLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface Engine {
  readonly url: string;
  /** May do anything in the database `assay` and read `system`. */
  readonly username: string;
  readonly password: string;
  /** May only read the database `assay`. */
  readonly reader: Login;
  /** Resolves after stop(); rejects when the engine couldn't be kept running. */
  readonly ended: Promise<void>;
  status(): EngineStatus;
  /** Lets running inserts finish, then ends the process. Resolves when it is gone. */
  stop(): Promise<void>;
}

export interface EngineStatus {
  readonly state: "starting" | "ready" | "waiting" | "stopped" | "failed";
  readonly pid: number | undefined;
  /** Deaths since the start of this object. */
  readonly restarts: number;
  /** How the last one died. */
  readonly last_error: string | undefined;
  /** Whether it is down because the disk is full; it is tried again until there is room. */
  readonly disk_full: boolean;
}

/** Resolves when the engine answers. Rejects with a DiskFullError where its files find no room. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const directory = resolve(options.directory);
  const kept = inRoom(directory, () => {
    prepareDirectory(directory, options.owner);
    return openConnection(directory, options.owner);
  });
  const { process: first, port } = await startFirst(options, directory, kept);
  const connection = { ...kept, port };
  try {
    if (port !== kept.port) inRoom(directory, () => keepConnection(directory, connection, options.owner));
  } catch (error) {
    first.end();
    await first.gone;
    throw error;
  }
  return supervise(first, connection, options.logger, () => launch(directory, connection, options));
}

/** For the next free port when the one tried is taken. */
const port_attempts_max = 5;
/** A dying engine gives its directory back within this time. */
const in_use_wait_ms = 5_000;
const in_use_pause_ms = 200;
/** A large store needs time to load its parts. */
const ready_wait_ms = 120_000;
const ready_pause_ms = 25;
const stop_inserts_wait_ms = 10_000;
const stop_inserts_pause_ms = 50;
const kill_wait_ms = 2_000;
const request_wait_ms = 2_000;
const last_lines_max = 20;
const line_length_max = 1_000;

async function startFirst(
  options: EngineOptions,
  directory: string,
  kept: Connection,
): Promise<{ readonly process: EngineProcess; readonly port: number }> {
  const in_use_until = Date.now() + in_use_wait_ms;
  let port = options.port ?? (kept.port > 0 ? kept.port : await freePort());
  for (let attempt = 1; ; ) {
    const started = launch(directory, { ...kept, port }, options);
    const outcome = await started.ready;
    if (outcome === undefined) return { process: started, port };
    await started.gone;
    if (outcome.reason === "directory_in_use" && Date.now() < in_use_until) {
      await sleep(in_use_pause_ms);
    } else if (outcome.reason === "port_in_use" && options.port === undefined && attempt < port_attempts_max) {
      attempt += 1;
      port = await freePort();
    } else {
      const Failure = outcome.reason === "disk_full" ? DiskFullError : Error;
      throw new Failure(describe(outcome, directory, port));
    }
  }
}

function describe(death: Death, directory: string, port: number): string {
  if (death.reason === "directory_in_use") return `the engine's directory ${directory} is ${death.detail}; stop that one first`;
  if (death.reason === "port_in_use")
    return `port ${port} on 127.0.0.1, where the engine should listen, is in use by another process`;
  if (death.reason === "disk_full") return `the engine in ${directory} can't start, because ${death.detail}`;
  return `the engine in ${directory} didn't start: ${death.detail}`;
}

function supervise(first: EngineProcess, connection: Connection, logger: EngineLogger, relaunch: () => EngineProcess): Engine {
  let current = first;
  let state: EngineStatus["state"] = "ready";
  let restarts = 0;
  let last_error: string | undefined;
  let disk_full = false;
  const stopping = new AbortController();

  const run = async (): Promise<void> => {
    let deaths = no_deaths;
    let ready_at = Date.now();
    for (;;) {
      const death = await current.gone;
      if (stopping.signal.aborted) return;
      const ready_ms = state === "ready" ? Date.now() - ready_at : 0;
      restarts += 1;
      last_error = death.detail;
      disk_full = death.reason === "disk_full";
      const next = afterDeath(deaths, { disk_full, ready_ms });
      if (next === undefined) {
        state = "failed";
        throw new Error(`the engine died ${restarts_max + 1} times in a row, the last time: ${death.detail}`);
      }
      state = "waiting";
      deaths = next.deaths;
      const { pause_ms } = next;
      logger.warn(
        { death: death.detail, pause_ms, deaths_in_row: deaths.in_row, restarts_max },
        disk_full ? "the disk is full, the engine waits for room" : "engine died, starting it again",
      );
      await sleep(pause_ms, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      state = "starting";
      current = relaunch();
      if ((await current.ready) === undefined && !stopping.signal.aborted) {
        state = "ready";
        disk_full = false;
        ready_at = Date.now();
        logger.info({ pid: current.pid, port: connection.port }, "engine is ready again");
      }
    }
  };

  const ended = run();
  const url = `http://127.0.0.1:${connection.port}`;
  logger.info({ pid: first.pid, port: connection.port }, "engine is ready");

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    if (state === "ready") await insertsFinished(url, connection.writer);
    stopping.abort();
    current.end();
    await current.gone;
    await ended.catch(() => undefined);
    if (state !== "failed") state = "stopped";
  };

  return {
    url,
    ...connection.writer,
    reader: connection.reader,
    ended,
    status: () => ({ state, pid: current.pid, restarts, last_error, disk_full }),
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

interface Death {
  readonly reason: "directory_in_use" | "port_in_use" | "disk_full" | "other";
  readonly detail: string;
}

interface EngineProcess {
  readonly pid: number | undefined;
  /** undefined when it answers; else why it doesn't. */
  readonly ready: Promise<Death | undefined>;
  readonly gone: Promise<Death>;
  end(): void;
}

function launch(directory: string, connection: Connection, options: EngineOptions): EngineProcess {
  const { port, writer, reader } = connection;
  const challenge = { path: randomBytes(16).toString("hex"), answer: randomBytes(16).toString("hex") };
  const order: EngineOrder = {
    port,
    config_xml: configXml(join(directory, "users.xml"), [writer, reader], challenge),
    users_xml: usersXml(writer, reader),
  };
  const child = spawn(process.execPath, [childScript(), directory], {
    cwd: directory,
    env: {},
    stdio: ["pipe", "ignore", "pipe"],
    // In a group of its own: a Ctrl-C in the terminal is for the parent, which stops the engine last.
    detached: true,
    ...options.owner,
  });
  // Its end can come before the order is written; that shows as its death.
  child.stdin?.on("error", () => undefined);
  child.stdin?.write(`${JSON.stringify(order)}\n`);

  const gone = watchDeath(child, options.logger);
  return {
    pid: child.pid,
    ready: answers(child, `http://127.0.0.1:${port}`, challenge, gone),
    gone,
    end: () => end(child),
  };
}

function watchDeath(child: ChildProcess, logger: EngineLogger): Promise<Death> {
  const last_lines: string[] = [];
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      const cut = line.slice(0, line_length_max);
      last_lines.push(cut);
      if (last_lines.length > last_lines_max) last_lines.shift();
      logger.warn({ pid: child.pid, line: cut }, "engine says");
    });
  }
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ reason: "other", detail: error.message }));
    child.once("close", (code, signal) => {
      const said = last_lines.join(" ").trim();
      const no_room = last_lines.find(saysOutOfRoom);
      const detail = said === "" ? `ended by ${signal ?? `exit code ${code}`}` : said;
      if (code === exit_code_in_use) resolve({ reason: "directory_in_use", detail });
      else if (code === exit_code_disk_full) resolve({ reason: "disk_full", detail });
      else if (no_room !== undefined) resolve({ reason: "disk_full", detail: `the disk is full: ${no_room}` });
      else if (said.includes("Address already in use")) resolve({ reason: "port_in_use", detail });
      else resolve({ reason: "other", detail });
    });
  });
}

async function answers(child: ChildProcess, url: string, challenge: Challenge, gone: Promise<Death>): Promise<Death | undefined> {
  let death: Death | undefined;
  const dead = gone.then((value) => {
    death = value;
  });
  const until = Date.now() + ready_wait_ms;
  while (death === undefined) {
    if ((await ask(`${url}/${challenge.path}`, {})) === challenge.answer) return undefined;
    if (Date.now() > until) {
      end(child);
      await dead;
      return { reason: "other", detail: `no answer within ${ready_wait_ms} ms` };
    }
    await Promise.race([sleep(ready_pause_ms), dead]);
  }
  return death;
}

/** The end of its stdin ends it; the signal is for one that hangs. */
function end(child: ChildProcess): void {
  child.stdin?.destroy();
  const timer = setTimeout(() => child.kill("SIGKILL"), kill_wait_ms);
  child.once("exit", () => clearTimeout(timer));
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) clearTimeout(timer);
}

/** Acknowledged inserts are on disk already; this spares the others an error. */
async function insertsFinished(url: string, login: Login): Promise<void> {
  const query = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
  const until = Date.now() + stop_inserts_wait_ms;
  const authorization = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
  while (Date.now() < until) {
    const running = await ask(`${url}/?query=${encodeURIComponent(query)}`, { authorization });
    if (running === undefined || Number(running) === 0) return;
    await sleep(stop_inserts_pause_ms);
  }
}

/** The body of a 200, undefined for anything else. */
async function ask(url: string, headers: Record<string, string>): Promise<string | undefined> {
  try {
    const response = await fetch(url, {
      headers: { ...headers, connection: "close" },
      signal: AbortSignal.timeout(request_wait_ms),
    });
    const body = await response.text();
    return response.ok ? body.trim() : undefined;
  } catch {
    return undefined;
  }
}

function prepareDirectory(directory: string, owner: Owner | undefined): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Where root prepares it for a user, that user must not be able to put a link to something else in its place.
  const handle = openSync(
    directory,
    constants.O_RDONLY | constants.O_DIRECTORY | (owner === undefined ? 0 : constants.O_NOFOLLOW),
  );
  try {
    fchmodSync(handle, 0o700);
    if (owner !== undefined) fchownSync(handle, owner.uid, owner.gid);
  } finally {
    closeSync(handle);
  }
}

function inRoom<Result>(directory: string, write: () => Result): Result {
  try {
    return write();
  } catch (error) {
    if (!isOutOfRoom(error)) throw error;
    throw new DiskFullError(`the engine in ${directory} can't start, because the disk is full: ${error.message}`, {
      cause: error,
    });
  }
}

/** From the sources (tests) the built script is taken: Node runs no TypeScript. */
function childScript(): string {
  const candidates = [join(__dirname, "engine-child.js"), join(__dirname, "../dist/engine-child.js")];
  const found = candidates.find((file) => existsSync(file));
  if (found === undefined)
    throw new Error(`the engine's script ${candidates.join(" or ")} is missing; build first (npm run build)`);
  return found;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no free port on 127.0.0.1"));
        else resolve(address.port);
      });
    });
  });
}
