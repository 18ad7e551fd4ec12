/** The whole agent on this machine: its real /proc, a server in ingest's place. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { agentSettings } from "@assay/agent/config";
import { type RunningAgent, runAgent } from "@assay/agent/run-agent";
import { readSettings } from "@assay/runtime/settings";
import { sectionNames } from "@assay/schemas/inventory";
import { IngestServer, until } from "./deliver/ingest-server";
import { temporaryFolder } from "./temporary";

const ingest = new IngestServer("secret");
const agents: RunningAgent[] = [];
const apart: number[] = [];
/** What the agent logged as an error. */
const failures: string[] = [];
let state = "";

beforeEach(async () => {
  state = temporaryFolder();
  ingest.requests.length = 0;
  await ingest.start();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  for (const pid of apart.splice(0)) end(pid);
  await ingest.stop();
  expect(failures.splice(0)).toEqual([]);
});

/** It may have ended by itself. */
function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("ESRCH");
  }
}

function environment(settings: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    ASSAY_AGENT_STATE: state,
    ASSAY_AGENT_INGEST_URL: ingest.url,
    ASSAY_AGENT_ENROL_SECRET: "secret",
    ASSAY_AGENT_FLUSH_WAIT_MS: "100",
    ASSAY_AGENT_PROCESSES_WAIT_MS: "100",
    ASSAY_AGENT_CONNECTIONS_WAIT_MS: "100",
    ASSAY_AGENT_LISTENERS_WAIT_MS: "100",
    ASSAY_AGENT_WINDOW_MS: "1000",
    ASSAY_AGENT_RETRY_FIRST_MS: "10",
    ASSAY_AGENT_RETRY_MAX_MS: "50",
    ASSAY_AGENT_TAGS: "role=test",
    ...settings,
  };
}

async function start(settings: Readonly<Record<string, string>> = {}): Promise<RunningAgent> {
  const read = readSettings(agentSettings, environment({ ASSAY_AGENT_PROBE_LISTENERS: "false", ...settings }));
  if (!read.ok) throw new Error(read.problems.join("; "));
  const logger = {
    info: () => undefined,
    warn: () => undefined,
    error: (fields: object, message: string) => failures.push(`${message}: ${JSON.stringify(fields)}`),
  };
  const agent = await runAgent(read.settings, { logger, agent_version: "1.2.3" });
  agents.push(agent);
  return agent;
}

async function stop(agent: RunningAgent): Promise<void> {
  agents.splice(agents.indexOf(agent), 1);
  await agent.stop();
}

const told = {
  processes: () => ingest.batches().flatMap((b) => b.processes),
  connections: () => ingest.batches().flatMap((b) => b.connections),
  listeners: () => ingest.batches().flatMap((b) => b.listeners),
};

/**
 * Runs a program that isn't a child of this process, for the agent leaves out its own children: a shell starts it and ends. A program
 * that serves prints "port N".
 */
function runApart(args: readonly string[], serves = false): Promise<{ pid: number; port: number }> {
  const shell = spawn("sh", ["-c", 'exec 3>&1; "$@" >&3 2>/dev/null & echo "pid $!"', "sh", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return new Promise((resolve) => {
    let text = "";
    shell.stdout.on("data", (data: Buffer) => {
      text += data.toString();
      const pid = /pid (\d+)\n/.exec(text)?.[1];
      const port = /port (\d+)\n/.exec(text)?.[1];
      if (pid === undefined || (serves && port === undefined)) return;
      apart.push(Number(pid));
      shell.stdout.destroy();
      resolve({ pid: Number(pid), port: Number(port ?? 0) });
    });
  });
}

const runServer = (code = echo) => runApart([process.execPath, "-e", code], true);

const echo =
  "require('net').createServer((s) => s.pipe(s)).listen(0, '127.0.0.1', function () { console.log('port', this.address().port) })";

it("tells of a server, the connection to it, and leaves out its own", async () => {
  const server = await runServer();
  const client = await runServer(
    `require('net').connect(${server.port}, '127.0.0.1', function () { console.log('port', this.localPort) })`,
  );
  await start();
  const between = () => told.connections().filter((c) => c.source_port === client.port && c.destination_port === server.port);
  const listener = () => told.listeners().find((l) => l.port === server.port);
  await until(() => new Set(between().map((c) => c.side)).size === 2 && listener() !== undefined);
  const image = expect.stringMatching(/\/node[^/]*$/);
  expect(listener()).toMatchObject({
    protocol: "tcp",
    address: "127.0.0.1",
    pid: server.pid,
    image,
  });
  const ends = { protocol: "tcp", source_address: "127.0.0.1", destination_address: "127.0.0.1" };
  expect(between().find((c) => c.side === "source")).toMatchObject({ ...ends, pid: client.pid });
  expect(between().find((c) => c.side === "destination")).toMatchObject({
    ...ends,
    pid: server.pid,
    command_line: expect.stringContaining("createServer"),
  });
  const ingestPort = Number(new URL(ingest.url).port);
  await until(() => ingest.batches().length > 5);
  expect(told.connections().filter((c) => c.destination_port === ingestPort || c.source_port === ingestPort)).toEqual([]);
});

it("tells of what a service starts, with the ports on which that listens, and no secrets", async () => {
  const code =
    "require('net').createServer(() => {}).listen(0, '127.0.0.1', function () { const port = this.address().port; console.log('port', port);" +
    "setTimeout(() => require('child_process').spawn('sh', ['-c', 'sleep 30; true --password=hunter2'], { stdio: 'ignore' }), 600) })";
  const server = await runServer(code);
  await start();
  const isShell = (p: { parent_pid: number; command_line: string }) =>
    p.parent_pid === server.pid && p.command_line.startsWith("sh -c");
  await until(() => told.processes().some(isShell));
  const shell = told.processes().find(isShell);
  expect(shell).toMatchObject({
    parent_listens: [server.port],
    already_running: false,
    parent_image: expect.stringMatching(/node/),
  });
  expect(shell?.command_line).toMatch(/^sh -c sleep 30; true --password=\[REDACTED:[0-9a-f]{12}\]$/);
  expect(shell?.ancestors[0]).toContain("createServer");
  await until(() => told.processes().some((p) => p.parent_pid === shell?.pid));
  apart.push(
    ...told
      .processes()
      .filter((p) => p.parent_pid === shell?.pid || p.pid === shell?.pid)
      .map((p) => p.pid),
  );
});

it("tells at its end what had not settled", async () => {
  const agent = await start({ ASSAY_AGENT_PROCESSES_WAIT_MS: "60000" });
  const child = await runApart(["sleep", "61.25"]);
  await stop(agent);
  expect(told.processes().filter((p) => p.pid === child.pid)).toHaveLength(1);
});

it("says how it is, time and again, and is complete through times that grow", async () => {
  const agent = await start();
  await until(() => ingest.batches().length >= 6);
  await stop(agent);
  const batches = ingest.batches();
  expect(batches.map((b) => b.seq)).toEqual(batches.map((_, i) => i + 1));
  expect(batches[0]).toMatchObject({
    host_id: agent.host_id,
    agent_version: "1.2.3",
    incarnation: agent.incarnation,
    tags: { role: "test", os: expect.any(String), architecture: expect.any(String) },
  });
  for (const [i, batch] of batches.entries()) {
    expect(batch.complete_through).toBeGreaterThanOrEqual(Math.max(batch.observed_from, batches[i - 1]?.complete_through ?? 0));
    expect(batch.collectors.map((c) => c.collector)).toEqual(["processes", "connections", "listeners"]);
    // Nothing is told for a time that an earlier batch was complete through.
    const through = batches[i - 1]?.complete_through ?? 0;
    for (const event of [...batch.processes, ...batch.connections, ...batch.listeners])
      expect(event.at).toBeGreaterThanOrEqual(through);
  }
  expect(existsSync(join(state, "agent.pid"))).toBe(false);
});

it("sends every section of the inventory, as JSON that its digest fits", async () => {
  await runServer();
  await start();
  await until(() => new Set(ingest.sections().map((s) => s.section)).size === sectionNames.length, 20_000);
  for (const section of ingest.sections().filter((s) => s.chunks === 1)) {
    expect(() => JSON.parse(section.content.toString())).not.toThrow();
    expect(section.digest).toMatch(/^[0-9a-f]{64}$/);
  }
  const executables = ingest.sections().find((s) => s.section === "executables");
  const { executables: found } = JSON.parse(executables?.content.toString() ?? "{}") as {
    executables: { path: string; format: string }[];
  };
  expect(found.find((e) => e.path === process.execPath)).toMatchObject({ format: "elf", hardening: { nx: true } });
});

it("delivers later what it saw while ingest was away", async () => {
  await start();
  await until(() => ingest.batches().length > 0);
  await ingest.stop();
  const seen = ingest.batches().length;
  const child = await runApart(["sleep", "61.25"]);
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(readdirSync(join(state, "spool", "telemetry")).length).toBeGreaterThan(0);
  await ingest.start();
  await until(() => told.processes().some((p) => p.pid === child.pid));
  await until(() => ingest.batches().length > seen + 3);
  const seqs = ingest.batches().map((b) => b.seq);
  expect([...new Set(seqs)]).toEqual(Array.from({ length: new Set(seqs).size }, (_, i) => i + 1));
});

it("keeps its host's id over a restart, and grows its incarnation", async () => {
  const first = await start();
  await stop(first);
  const second = await start();
  expect(second.host_id).toBe(first.host_id);
  expect(second.incarnation).toBeGreaterThan(first.incarnation);
});

it("refuses a state folder that is no folder", async () => {
  await expect(start({ ASSAY_AGENT_STATE: process.execPath })).rejects.toThrow(/EEXIST|ENOTDIR/);
});
