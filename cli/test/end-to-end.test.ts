/** `assay up` as a user runs it, on this machine, with the built code (`npm test` builds it first). */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ApiClient, apiClient } from "@assay/cli/progress/api-client";
import { type AssayPorts, freePorts, isRunning, RunningAssay, until } from "@assay/cli/scenarios/running-assay";
import type { Finding } from "@assay/report-api/schemas/finding";

jest.setTimeout(240_000);

const program = join(__dirname, "../bin/assay.js");
/** A window and its lateness, so that findings come soon. The membership takes two windows to be in force. */
const quick = { ASSAY_WINDOW_MS: "3000", ASSAY_LATENESS_MS: "500", ASSAY_HOST_SILENT_AFTER_MS: "20000" };
const ready_wait_ms = 60_000;

let root: string;
let ports: AssayPorts;
let assay: RunningAssay;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "assay-e2e-"));
  chmodSync(root, 0o711); // as root, the services run as another user, who has to pass
  ports = await freePorts();
  assay = new RunningAssay(join(root, "data"), ports, quick);
});

afterAll(async () => {
  for (const pid of assay.pids()) process.kill(pid, "SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

function assayCommand(...argv: string[]) {
  return spawnSync(process.execPath, [program, ...argv], {
    encoding: "utf8",
    env: { ...process.env, ...quick },
    timeout: 60_000,
  });
}

function client(): ApiClient {
  return apiClient(assay.report_api_url, assay.key());
}

async function firstFindings(): Promise<readonly Finding[]> {
  let findings: readonly Finding[] = [];
  await until(
    90_000,
    () => `no finding came; assay up said:\n${assay.output()}`,
    async () => {
      findings = await client().findings(100);
      return findings.length > 0;
    },
  );
  return findings;
}

async function nothingLeft(pids: readonly number[], wait_ms: number): Promise<void> {
  await until(wait_ms, "a process was left", () => pids.every((pid) => !isRunning(pid)));
  for (const port of Object.values(ports)) await expectFree(port);
}

async function expectFree(port: number): Promise<void> {
  const server = await hold(port);
  await new Promise((resolve) => server.close(resolve));
}

function hold(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

test("finds something, stops in order, goes on with the same data, and its account adds up", async () => {
  assay.start();
  await assay.ready(ready_wait_ms);
  const pids = assay.pids();
  expect(pids).toHaveLength(4);
  const before = await firstFindings();
  expect(assay.output()).toMatch(/report API {3}http:\/\/127\.0\.0\.1:\d+/);
  expect(statSync(join(assay.data, "report-api.key")).mode & 0o777).toBe(0o600);

  const beside = assayCommand("audit", "--data", assay.data);
  expect(beside.stderr).toMatch(
    /is in use by process \d+: stop that one first, then audit, because while it runs nobody else may open the log/,
  );
  expect(beside.status).toBe(1);

  expect(await assay.stop()).toBe(0);
  await nothingLeft(pids, 100);
  expect(existsSync(join(assay.data, "up.lock"))).toBe(false);
  expect(readdirSync(join(assay.data, "agent"))).not.toContain("agent.pid");

  const atRest = assayCommand("audit", "--data", assay.data, "--format", "json");
  expect(JSON.parse(atRest.stdout)).toMatchObject({ problems: [] });

  assay.start();
  await assay.ready(ready_wait_ms);
  const after = await client().findings(100);
  for (const finding of before) {
    expect(after.find((f) => f.id === finding.id)).toMatchObject({ first_seen: finding.first_seen });
  }
});

test("a second start on the same data says who has it, and harms nothing", async () => {
  const second = assayCommand("up", "--data", assay.data, "--port", "0");
  expect(second.status).toBe(1);
  expect(second.stderr).toMatch(
    /the data directory .* is in use by process \d+: stop that one first, or choose another \(--data, ASSAY_DATA_DIR\)/,
  );
  expect((await fetch(`${assay.metrics_url}/ready`)).status).toBe(200);
});

test("a services process that is killed is started again, and the agent goes on", async () => {
  const services = assay.pid("services");
  const agent = assay.pid("agent");
  await assay.kill("services");
  await until(ready_wait_ms, "the services did not come back", async () => {
    const pid = assay.pid("services");
    return pid !== undefined && pid !== services && (await fetch(`${assay.metrics_url}/ready`)).ok;
  });
  expect(assay.pid("agent")).toBe(agent);
  expect(assay.output()).toMatch(/the services process ended \(killed by SIGKILL\); it is started again in 0\.5 s/);
  const { windows } = await client().status();
  await until(30_000, "no window closed", async () => (await client().status()).windows.closed > windows.closed);
});

test("when the supervisor is killed its children end within seconds, and a start right afterwards works", async () => {
  const pids = assay.pids();
  expect(pids).toHaveLength(4);
  await assay.kill("supervisor");
  assay.start();
  await until(10_000, "a child outlived its supervisor", () => pids.every((pid) => !isRunning(pid)));
  await assay.ready(ready_wait_ms);
  const now = assay.pids();
  expect(await assay.stop()).toBe(0);
  await nothingLeft(now, 100);
  expect(assayCommand("audit", "--data", assay.data).stdout).toMatch(/Everything adds up[.;]/);
});

test("a port in use is told with its setting, and nothing is left running", async () => {
  const server = await hold(ports.ingest);
  try {
    assay.start();
    expect(await assay.ended()).toBe(1);
    expect(assay.output()).toMatch(
      new RegExp(`port ${ports.ingest} on 127\\.0\\.0\\.1, for ingest, is in use .* \\(ASSAY_INGEST_PORT\\)`),
    );
    expect(assay.pids()).toEqual([]);
    expect(existsSync(join(assay.data, "up.lock"))).toBe(false);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("Ctrl-C while it starts ends everything", async () => {
  assay.start();
  await until(20_000, "the services did not start", () => assay.pid("services") !== undefined);
  const pids = assay.pids();
  expect(await assay.stop()).toBe(130);
  await nothingLeft(pids, 10_000);
});
