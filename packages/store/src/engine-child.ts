/**
 * The process in which the embedded ClickHouse runs: `node engine-child.js <directory>`, started by engine.ts and by nothing else.
 *
 * ClickHouse comes as a library, so this process loads it and hands a thread to it; its own event loop stays free to watch the parent.
 * The parent writes one line of JSON (an EngineOrder) to stdin and then keeps stdin open: when it ends the parent is gone or wants us
 * gone, and the process ends at once. What was acknowledged is on disk by then.
 */
import { existsSync, mkdirSync, openSync, readFileSync, renameSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { DataType, load, open } from "ffi-rs";
import { repairDeduplicationLogs } from "./deduplication-logs";
import { isOutOfRoom } from "./disk-full";
import { type EngineOrder, exit_code_disk_full, exit_code_in_use } from "./engine-settings";

/** ClickHouse's library ships for these only. */
const platforms = ["linux-x64-gnu", "linux-arm64-gnu", "darwin-x64", "darwin-arm64"];

if (require.main === module) main();

function main(): void {
  const directory = process.argv[2];
  if (directory === undefined) fail("usage: engine-child <directory>");
  process.umask(0o077);
  // The parent decides when to end: it lets inserts finish after a Ctrl-C or a service manager's SIGTERM to the whole group.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  const lines = createInterface({ input: process.stdin });
  lines.once("line", (line) => run(directory, JSON.parse(line) as EngineOrder));
  lines.once("close", end);
}

function run(directory: string, order: EngineOrder): void {
  const library = findLibrary();
  // The empty path stands for what is already loaded: the C library.
  open({ library: "c", path: "" });
  const owner = lock(join(directory, "lock"));
  if (owner !== undefined) fail(`in use by the engine process ${owner}`, exit_code_in_use);
  forbidCoreDumps();
  const config = join(directory, "config.xml");
  const data = join(directory, "data");
  replaceFile(config, order.config_xml);
  replaceFile(join(directory, "users.xml"), order.users_xml);
  inRoom(data, () => mkdirSync(data, { recursive: true }));
  const withdrawn = inRoom(data, () => repairDeduplicationLogs(data));
  if (withdrawn > 0) process.stderr.write(`withdrew ${withdrawn} deduplication tokens of unfinished inserts\n`);

  open({ library: "chdb", path: library });
  const command = [
    "clickhouse-local",
    `--config-file=${config}`,
    `--path=${data}`,
    `--http_port=${order.port}`,
    "--listen_host=127.0.0.1",
    "--query",
    // The library serves for as long as its query runs, so the last one never ends.
    "SYSTEM START LISTEN HTTP; SELECT sleep(3) FROM system.numbers SETTINGS max_block_size = 1, max_threads = 1 FORMAT Null",
  ];
  load({
    library: "chdb",
    funcName: "chdb_query_cmdline",
    retType: DataType.External,
    paramsType: [DataType.I32, DataType.StringArray],
    paramsValue: [command.length, command],
    runInNewThread: true,
  }).then(end, (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    end();
  });
}

/** Not process.exit: with the library loaded that waits for ever in its destructors. */
function end(): void {
  process.kill(process.pid, "SIGKILL");
}

/** For failures before the library is loaded. */
function fail(message: string, code = 1): never {
  writeSync(2, `${message}\n`);
  process.exit(code);
}

function findLibrary(): string {
  const platform = `${process.platform}-${process.arch}${process.platform === "linux" ? "-gnu" : ""}`;
  const name = `@chdb/lib-${platform}`;
  let file: string | undefined;
  try {
    // Optional dependencies of chdb: nested under it or beside it.
    const chdb = createRequire(require.resolve("chdb/package.json"));
    file = join(dirname(chdb.resolve(`${name}/package.json`)), "libchdb.so");
  } catch {
    file = undefined;
  }
  if (file !== undefined && existsSync(file)) return file;
  const known = platforms.includes(platform)
    ? `its package ${name} is not installed (npm install --include=optional, on glibc)`
    : `it exists for ${platforms.join(", ")}`;
  fail(`the embedded ClickHouse is not available on ${platform}: ${known}; name a ClickHouse server in the settings instead`);
}

/**
 * Takes the directory's lock for the life of this process; the kernel gives it back however the process ends. Returns the owner's
 * process id when another has it.
 */
function lock(file: string): string | undefined {
  const descriptor = inRoom(file, () => openSync(file, "a+", 0o600));
  const exclusive_now = 2 | 4;
  if (callC("flock", [DataType.I32, DataType.I32], [descriptor, exclusive_now]) !== 0) {
    return readFileSync(file, "utf8").trim() || "(starting)";
  }
  truncateSync(file);
  inRoom(file, () => writeSync(descriptor, `${process.pid}\n`));
  return undefined;
}

/** A dump would hold findings and passwords, and be as large as the engine. */
function forbidCoreDumps(): void {
  const rlimit_core = 4;
  const none = Buffer.alloc(16);
  if (callC("setrlimit", [DataType.I32, DataType.U8Array], [rlimit_core, none]) !== 0) fail("setrlimit(RLIMIT_CORE, 0) failed");
}

function callC(name: string, types: DataType[], values: unknown[]): number {
  return load({ library: "c", funcName: name, retType: DataType.I32, paramsType: types, paramsValue: values });
}

function replaceFile(file: string, text: string): void {
  inRoom(file, () => {
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  });
}

/** A full disk ends this process with its own exit code: it is no fault of the engine. */
function inRoom<Result>(path: string, write: () => Result): Result {
  try {
    return write();
  } catch (error) {
    if (!isOutOfRoom(error)) throw error;
    fail(`the disk is full: no room for ${path}`, exit_code_disk_full);
  }
}
