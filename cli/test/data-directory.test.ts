import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataDirectory, prepareDataDirectory, secretIn } from "@assay/cli/embedded/data-directory";
import { lockFile, runningHolder } from "@assay/cli/embedded/lock-file";
import { checkPorts } from "@assay/cli/embedded/ports";
import { rulePackages } from "@assay/cli/embedded/rule-packages";
import { servicesUser } from "@assay/cli/embedded/services-user";
import { keepWindows, readWindows } from "@assay/cli/embedded/windows-file";

const own = { other: undefined, warning: undefined };
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "assay-data-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test.each([
  ["--data goes before everything", "/given", { ASSAY_DATA_DIR: "/set", HOME: "/home/u" }, 1000, "/given"],
  ["then ASSAY_DATA_DIR", undefined, { ASSAY_DATA_DIR: "/set", HOME: "/home/u" }, 1000, "/set"],
  ["root's is /var/lib/assay", undefined, { HOME: "/root" }, 0, "/var/lib/assay"],
  ["others' follows XDG_DATA_HOME", undefined, { XDG_DATA_HOME: "/xdg", HOME: "/home/u" }, 1000, "/xdg/assay"],
  ["or their home", undefined, { HOME: "/home/u" }, 1000, "/home/u/.local/share/assay"],
])("%s", (_name, option, env, uid, expected) => {
  expect(dataDirectory(option, { env, uid }).root).toBe(expected);
});

test("directories are made for their owner alone", () => {
  const data = dataDirectory(join(root, "a/b"), { env: {}, uid: 1000 });
  prepareDataDirectory(data, own);
  for (const path of [data.root, data.agent, data.services, data.logs]) expect(statSync(path).mode & 0o777).toBe(0o700);
});

test("a path that is no directory is told with the option", () => {
  writeFileSync(join(root, "file"), "");
  const data = dataDirectory(join(root, "file"), { env: {}, uid: 1000 });
  expect(() => prepareDataDirectory(data, own)).toThrow(/can't use .*file as the data directory: .* \(--data, ASSAY_DATA_DIR\)/);
});

test("a secret is made once, for its owner alone, and never through a link", () => {
  const file = join(root, "key");
  const secret = secretIn(file);
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(secretIn(file)).toBe(secret);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  symlinkSync(join(root, "target"), join(root, "link"));
  expect(() => secretIn(join(root, "link"))).toThrow();
  expect(existsSync(join(root, "target"))).toBe(false);
});

test("a lock is refused while its holder runs, and taken over once it doesn't", async () => {
  const path = join(root, "up.lock");
  const held = lockFile(path, "the data directory X");
  expect(held.was_left_behind).toBe(false);
  expect(runningHolder(path)).toBe(process.pid);
  expect(() => lockFile(path, "the data directory X")).toThrow(
    `the data directory X is in use by process ${process.pid}: stop that one first`,
  );
  held.release();
  expect(existsSync(path)).toBe(false);

  // Another process with the id of one that has ended is not its holder.
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  writeFileSync(path, `${other.pid} of-an-earlier-boot/1\n`);
  const taken = lockFile(path, "X");
  expect(taken.was_left_behind).toBe(true);
  expect(readFileSync(path, "utf8")).toMatch(new RegExp(`^${process.pid} `));
  taken.release();
  const ended = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGKILL");
  await ended;
});

test("data keep the length of their windows", () => {
  const file = join(root, "windows.json");
  expect(readWindows(file)).toBeUndefined();
  keepWindows(file, { window_ms: 10_000, lateness_ms: 2_000 });
  keepWindows(file, { window_ms: 10_000, lateness_ms: 3_000 });
  expect(readWindows(file)).toEqual({ window_ms: 10_000, lateness_ms: 3_000 });
  expect(() => keepWindows(file, { window_ms: 5_000, lateness_ms: 3_000 })).toThrow(
    "the data have windows of 10000 ms, and 5000 ms are asked for: set ASSAY_WINDOW_MS=10000",
  );
});

test("two services can't have one port, and one in use is told with its setting", async () => {
  await expect(checkPorts({ report_api: 9000, ingest: 9000, metrics: 0 }, 0)).rejects.toThrow(
    "the report API and ingest have the same port 9000 (--port, ASSAY_REPORT_API_PORT; ASSAY_INGEST_PORT)",
  );
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await expect(checkPorts({ report_api: 0, ingest: 0, metrics: port }, 0)).rejects.toThrow(
    `port ${port} on 127.0.0.1, for metrics and health, is in use by another process; choose another (ASSAY_METRICS_PORT)`,
  );
  const waiting = checkPorts({ report_api: 0, ingest: 0, metrics: port }, 5_000);
  await new Promise((resolve) => server.close(resolve));
  await waiting;
});

test("an ordinary user's services run as that user, and an unknown ASSAY_USER is told", () => {
  expect(servicesUser({ uid: 1000, env: { ASSAY_USER: "nobody" } }, [])).toEqual(own);
  expect(servicesUser({ uid: 0, env: { ASSAY_USER: "root" } }, [])).toEqual(own);
  expect(() => servicesUser({ uid: 0, env: { ASSAY_USER: "nobody-knows" } }, [])).toThrow("there is no user named nobody-knows");
});

test("root's services stay root where their user can't read the code", () => {
  const user = servicesUser({ uid: 0, env: {} }, ["/nonexistent/code.js"]);
  expect(user.other).toBeUndefined();
  // Who isn't root can't even ask as another user: then node itself counts as out of reach.
  expect(user.warning).toMatch(
    /^the services run as root, because nobody can't read (\/nonexistent\/code\.js|.*node.*); .* \(ASSAY_USER\)$/,
  );
});

test("rules that can't be used are told by file and line", async () => {
  mkdirSync(join(root, "mine"));
  writeFileSync(join(root, "mine/broken.yml"), "title: Broken\ndetection: 7\n");
  await expect(rulePackages(root)).rejects.toThrow(
    /the rule packages in .* can't be used \(ASSAY_RULES_DIR\):\n {2}mine\/broken\.yml:\d+:\d+: /,
  );
  await expect(rulePackages(join(root, "missing"))).rejects.toThrow(/can't read the rule packages in .*missing/);
});
