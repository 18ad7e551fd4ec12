import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "@assay/cli/embedded/log-file";
import { type ChildPlan, SupervisedChild } from "@assay/cli/embedded/supervised-child";
import { isRunning, until } from "@assay/cli/scenarios/running-assay";

let root: string;
let log: LogFile;
const children: SupervisedChild[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "assay-child-"));
  log = new LogFile(join(root, "child.log"));
});

afterEach(async () => {
  for (const child of children.splice(0)) await child.stop();
  log.close();
  rmSync(root, { recursive: true, force: true });
});

function supervise(script: string, more: Partial<ChildPlan> = {}): SupervisedChild {
  const child = new SupervisedChild({
    name: "child",
    command: [process.execPath, "-e", script],
    env: {},
    log,
    stop_wait_ms: 1_000,
    askToStop: (process) => process.kill("SIGTERM"),
    onRestart: () => undefined,
    ...more,
  });
  children.push(child);
  return child;
}

test("what a child writes stands in its log, and one that ends is started again", async () => {
  const restarts: string[] = [];
  const child = supervise("console.log('here'); console.error('there'); process.exit(7)", {
    onRestart: (how, { wait_ms }) => restarts.push(`${how}, ${wait_ms} ms`),
  });
  await until(10_000, "no second start", () => restarts.length >= 2);
  expect(restarts.slice(0, 2)).toEqual(["exit code 7, 500 ms", "exit code 7, 1000 ms"]);
  await child.stop();
  expect(readFileSync(log.path, "utf8")).toMatch(/here\nthere\n/);
});

test("a child that ignores the request to stop is killed after its wait", async () => {
  const child = supervise("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')", {
    stop_wait_ms: 300,
  });
  await until(10_000, "the child did not start", () => readFileSync(log.path, "utf8").includes("ready"));
  const pid = child.pid ?? 0;
  const began = Date.now();
  await child.stop();
  expect(isRunning(pid)).toBe(false);
  expect(Date.now() - began).toBeLessThan(5_000);
});

test("a child that is stopped is not started again", async () => {
  const restarts: string[] = [];
  const child = supervise("setInterval(() => {}, 1000)", { onRestart: (how) => restarts.push(how) });
  await child.stop();
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(restarts).toEqual([]);
  expect(child.pid).toBeUndefined();
});

test("a program that isn't there counts as an end, too", async () => {
  const restarts: string[] = [];
  supervise("", { command: ["/nonexistent/program"], onRestart: (how) => restarts.push(how) });
  await until(5_000, "nothing was told", () => restarts.length > 0);
  expect(restarts[0]).toMatch(/ENOENT/);
});

test("a child that ended for want of room on the disk is told as one that waits for it", async () => {
  const restarts: string[] = [];
  const child = supervise("process.exit(4)", {
    endedWithoutRoom: (code) => code === 4,
    onRestart: (how, { wait_ms, without_room }) => restarts.push(`${how}, ${wait_ms} ms, ${without_room} in a row`),
  });
  await until(10_000, "no second start", () => restarts.length >= 2);
  expect(restarts.slice(0, 2)).toEqual(["exit code 4, 500 ms, 1 in a row", "exit code 4, 1000 ms, 2 in a row"]);
  expect(child.waits_for_room).toBe(true);
});

test("a log file turns over at its limit and keeps the one before", () => {
  const file = new LogFile(join(root, "turn.log"), 10);
  for (const text of ["12345\n", "67890\n", "abc\n"]) file.write(Buffer.from(text));
  file.close();
  expect(readFileSync(join(root, "turn.log"), "utf8")).toBe("67890\nabc\n");
  expect(readFileSync(join(root, "turn.log.1"), "utf8")).toBe("12345\n");
});
