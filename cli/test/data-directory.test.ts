import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkDataDirectory,
  type DataDirectory,
  dataDirectory,
  giveToServices,
  prepareDataDirectory,
  secretIn,
} from "@assay/cli/embedded/data-directory";
import { lockFile, runningHolder } from "@assay/cli/embedded/lock-file";
import { checkPorts } from "@assay/cli/embedded/ports";
import { rulePackages } from "@assay/cli/embedded/rule-packages";
import { servicesUser } from "@assay/cli/embedded/services-user";
import { keepWindows, readWindows } from "@assay/cli/embedded/windows-file";

const own = { other: undefined, named: undefined, warning: undefined };
const uid = process.getuid?.() ?? -1;
/** Only root can give files away. */
const testAsRoot = uid === 0 ? test : test.skip;
const nobody = { name: "nobody", uid: 65_534, gid: 65_534 };
const as_nobody = { other: nobody, named: nobody, warning: undefined };
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
  prepareDataDirectory(data, own, uid);
  giveToServices(data, own, uid);
  for (const path of [data.root, data.agent, data.services, data.logs]) expect(statSync(path).mode & 0o777).toBe(0o700);
});

test("a path that is no directory is told with the option", () => {
  writeFileSync(join(root, "file"), "");
  const data = dataDirectory(join(root, "file"), { env: {}, uid: 1000 });
  expect(() => prepareDataDirectory(data, own, uid)).toThrow(
    /can't use .*file as the data directory: .* \(--data, ASSAY_DATA_DIR\)/,
  );
});

test("a secret is made once, for its owner alone, and never through a link", () => {
  const file = join(root, "key");
  const secret = secretIn(file, uid);
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(secretIn(file, uid)).toBe(secret);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  symlinkSync(join(root, "target"), join(root, "link"));
  expect(() => secretIn(join(root, "link"), uid)).toThrow(/link is not a regular file/);
  expect(existsSync(join(root, "target"))).toBe(false);
});

test("a secret that others may read, or that is another user's, is refused", () => {
  const file = join(root, "key");
  secretIn(file, uid);
  expect(() => secretIn(file, uid + 1)).toThrow(
    new RegExp(`^${file} belongs to .*\\(?uid ${uid}\\)?, and not to .*uid ${uid + 1}.*: use another directory .*, or, .* chown`),
  );
  for (const mode of [0o640, 0o604, 0o620]) {
    chmodSync(file, mode);
    expect(() => secretIn(file, uid)).toThrow(
      `other users may read or change ${file} (mode 0${mode.toString(8)}), so it is no secret: remove it, and the next start makes a new one`,
    );
  }
});

test("a secret is read from a regular file only", () => {
  mkdirSync(join(root, "key"));
  expect(() => secretIn(join(root, "key"), uid)).toThrow(/key is not a regular file/);
});

function prepared(): DataDirectory {
  const data = dataDirectory(join(root, "data"), { env: {}, uid });
  prepareDataDirectory(data, own, uid);
  return data;
}

test("a data directory of another user is refused, to start and to audit", () => {
  const data = prepared();
  const refusal = new RegExp(`can't use ${data.root} as the data directory: ${data.root} belongs to .*uid ${uid}`);
  expect(() => prepareDataDirectory(data, own, uid + 1)).toThrow(refusal);
  expect(() => checkDataDirectory(data, uid + 1)).toThrow(refusal);
  expect(() => checkDataDirectory(data, uid)).not.toThrow();
});

test.each(["root", "logs", "agent", "services"] as const)("%s that others may write to is refused, and left as it is", (part) => {
  const data = prepared();
  for (const mode of [0o770, 0o702]) {
    chmodSync(data[part], mode);
    expect(() => prepareDataDirectory(data, own, uid)).toThrow(
      `other users may write to ${data[part]} (mode 0${mode.toString(8)})`,
    );
    expect(statSync(data[part]).mode & 0o777).toBe(mode);
  }
});

test.each(["lock", "key_file", "secret_file", "windows_file", "kafka_windows_file"] as const)(
  "a link in the place of %s is refused",
  (part) => {
    const data = prepared();
    writeFileSync(join(root, "elsewhere"), "");
    symlinkSync(join(root, "elsewhere"), data[part]);
    expect(() => prepareDataDirectory(data, own, uid)).toThrow(`${data[part]} is not a regular file`);
  },
);

test.each(["lock", "windows_file", "kafka_windows_file"] as const)("%s that others may write to is refused", (part) => {
  const data = prepared();
  writeFileSync(data[part], "", { mode: 0o644 });
  prepareDataDirectory(data, own, uid);
  chmodSync(data[part], 0o664);
  expect(() => prepareDataDirectory(data, own, uid)).toThrow(`other users may write to ${data[part]} (mode 0664)`);
  expect(() => checkDataDirectory(data, uid)).toThrow(`other users may write to ${data[part]} (mode 0664)`);
});

test("one's own link may lead to one's own data directory", () => {
  const { root: real } = prepared();
  symlinkSync(real, join(root, "link"));
  expect(() => prepareDataDirectory(dataDirectory(join(root, "link"), { env: {}, uid }), own, uid)).not.toThrow();
});

testAsRoot.each(["root", "lock", "key_file", "secret_file", "windows_file", "logs", "agent", "services"] as const)(
  "root refuses %s that belongs to another user (needs root)",
  (part) => {
    const data = prepared();
    if (!existsSync(data[part])) writeFileSync(data[part], "planted", { mode: 0o600 });
    chownSync(data[part], 4_711, 4_711);
    expect(() => prepareDataDirectory(data, as_nobody, uid)).toThrow(
      `can't use ${data.root} as the data directory: ${data[part]} belongs to uid 4711, and not to root (uid 0)`,
    );
  },
);

testAsRoot.each(["root", "logs", "services"] as const)(
  "root refuses another user's link in the place of %s (needs root)",
  (part) => {
    const data = prepared();
    mkdirSync(join(root, "elsewhere"));
    rmSync(data[part], { recursive: true });
    symlinkSync(join(root, "elsewhere"), data[part]);
    lchownSync(data[part], 4_711, 4_711);
    expect(() => prepareDataDirectory(data, own, uid)).toThrow(`${data[part]} belongs to uid 4711`);
  },
);

describe("the services' directory", () => {
  const owner = (path: string) => lstatSync(path).uid;

  testAsRoot("changes hands with everything in it, and back; no link is followed (needs root)", () => {
    const data = prepared();
    const outside = join(root, "outside");
    writeFileSync(outside, "");
    mkdirSync(join(data.services, "a/b"), { recursive: true });
    writeFileSync(join(data.services, "a/b/file"), "");
    symlinkSync(outside, join(data.services, "a/link"));
    symlinkSync(root, join(data.services, "a/way-out"));
    giveToServices(data, as_nobody, uid);
    for (const path of ["", "a", "a/b", "a/b/file"]) expect(owner(join(data.services, path))).toBe(nobody.uid);
    for (const path of [outside, root]) expect(owner(path)).toBe(0);
    expect(statSync(data.root).mode & 0o777).toBe(0o711);
    prepareDataDirectory(data, as_nobody, uid);

    giveToServices(data, { ...as_nobody, other: undefined }, uid);
    for (const path of ["", "a", "a/b", "a/b/file"]) expect(owner(join(data.services, path))).toBe(0);
    expect(statSync(data.root).mode & 0o777).toBe(0o700);
  });

  testAsRoot(
    "doesn't change hands with a second name of a file that stands elsewhere, nor with others' files (needs root)",
    () => {
      const data = prepared();
      const outside = join(root, "outside");
      writeFileSync(outside, "");
      linkSync(outside, join(data.services, "planted"));
      expect(() => giveToServices(data, as_nobody, uid)).toThrow(/planted has 2 names, another of which may stand elsewhere/);
      expect([owner(outside), owner(data.services)]).toEqual([0, 0]);
      rmSync(join(data.services, "planted"));
      writeFileSync(join(data.services, "foreign"), "");
      chownSync(join(data.services, "foreign"), 4_711, 4_711);
      expect(() => giveToServices(data, as_nobody, uid)).toThrow(
        /foreign belongs to uid 4711, so it is not handed over to nobody/,
      );
      expect([owner(join(data.services, "foreign")), owner(data.services)]).toEqual([4_711, 0]);
    },
  );

  testAsRoot("of a user whom ASSAY_USER names no more is refused (needs root)", () => {
    const data = prepared();
    giveToServices(data, as_nobody, uid);
    expect(() => prepareDataDirectory(data, own, uid)).toThrow(
      /services belongs to nobody \(uid 65534\), and not to root \(uid 0\): .*name its owner \(ASSAY_USER\)/,
    );
  });
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
