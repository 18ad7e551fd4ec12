import { spawn, spawnSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { startEngine } from "../src/engine";
import { basic, isRunning, pidOf, post, TemporaryEngines, until } from "./temporary-engine";

let engines: TemporaryEngines;
beforeEach(() => {
  engines = new TemporaryEngines();
});
afterEach(() => engines.endAll());

describe("guard", () => {
  it("lets in nobody without a password, and leaves its users no more than they need", async () => {
    const engine = await engines.start();
    const writer = basic(engine.username, engine.password);
    const reader = basic(engine.reader.username, engine.reader.password);
    await post(engine, "CREATE DATABASE assay", writer);
    await post(engine, "CREATE TABLE assay.t (x UInt8) ENGINE = MergeTree ORDER BY x", writer);
    expect((await post(engine, "INSERT INTO assay.t VALUES (7)", writer)).status).toBe(200);

    const strangers = [{}, basic("default", ""), basic(engine.username, "wrong"), { "x-clickhouse-user": "default" }];
    for (const stranger of strangers) {
      for (const sql of [
        "SELECT 1",
        "SELECT * FROM assay.t",
        "SYSTEM STOP LISTEN HTTP",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
      ]) {
        const answer = await post(engine, sql, stranger);
        expect(answer).toEqual({ status: 401, body: expect.stringContaining("Authentication failed") });
      }
    }

    expect(await post(engine, "SELECT x FROM assay.t", reader)).toEqual({ status: 200, body: "7" });
    const reader_keys = { "x-clickhouse-user": engine.reader.username, "x-clickhouse-key": engine.reader.password };
    expect(await post(engine, "SELECT x FROM assay.t", reader_keys)).toEqual({ status: 200, body: "7" });
    const denied_to_reader = [
      "INSERT INTO assay.t VALUES (8)",
      "CREATE TABLE assay.u (x UInt8) ENGINE = Memory",
      "DROP TABLE assay.t",
      "SYSTEM STOP LISTEN HTTP",
    ];
    for (const sql of denied_to_reader) expect((await post(engine, sql, reader)).body).toMatch(/ACCESS_DENIED|READONLY/);
    expect((await post(engine, "SELECT 1 SETTINGS max_memory_usage = 900000000", reader)).body).toContain(
      "SETTING_CONSTRAINT_VIOLATION",
    );

    const denied_to_all = [
      "SELECT * FROM file('/etc/passwd', LineAsString)",
      "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
      "SELECT * FROM remote('127.0.0.2', system.one)",
    ];
    for (const sql of denied_to_all) {
      expect((await post(engine, sql, writer)).body).toContain("ACCESS_DENIED");
      expect((await post(engine, sql, reader)).body).toContain("ACCESS_DENIED");
    }
    expect(await post(engine, "SELECT x FROM assay.t", writer)).toEqual({ status: 200, body: "7" });
  });

  it("keeps its files from other users of the machine, and its passwords over restarts", async () => {
    const first = await engines.start();
    const directory = engines.directory();
    const engine = await engines.start({ directory });
    await post(engine, "CREATE DATABASE assay", basic(engine.username, engine.password));
    await engine.stop();
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    expect(entries.map((entry) => entry.name)).toEqual(
      expect.arrayContaining(["connection.json", "config.xml", "users.xml", "assay.sql"]),
    );
    for (const entry of entries) expect(statSync(join(entry.parentPath, entry.name)).mode & 0o077).toBe(0);
    expect(statSync(directory).mode & 0o777).toBe(0o700);

    const again = await engines.start({ directory });
    expect(again.password).toMatch(/^[0-9a-f]{64}$/);
    expect([again.url, again.password, again.reader]).toEqual([engine.url, engine.password, engine.reader]);
    expect(again.password).not.toBe(first.password);
    expect(again.password).not.toBe(again.reader.password);
  });
});

describe("life", () => {
  it("comes back after its process was killed, at the same address, and tells of it", async () => {
    const engine = await engines.start();
    const pid = pidOf(engine);
    process.kill(pid, "SIGKILL");
    await until("a restart", () => engine.status().state === "ready" && engine.status().pid !== pid);
    expect(engine.status()).toMatchObject({ restarts: 1, last_error: "ended by SIGKILL" });
    expect(await post(engine, "SELECT 1", basic(engine.username, engine.password))).toEqual({ status: 200, body: "1" });
    expect(engines.lines.map((line) => line.message)).toEqual([
      "engine is ready",
      "engine died, starting it again",
      "engine is ready again",
    ]);
    await engine.stop();
    await expect(engine.ended).resolves.toBeUndefined();
    expect(engine.status().state).toBe("stopped");
    expect(isRunning(pidOf(engine))).toBe(false);
  });

  it("stops while it is waiting to start again", async () => {
    const engine = await engines.start();
    process.kill(pidOf(engine), "SIGKILL");
    await until("its death", () => engine.status().state === "waiting");
    await engine.stop();
    await engine.ended;
    expect(isRunning(pidOf(engine))).toBe(false);
  });

  it("isn't ended by the signals that a terminal or a service manager sends to all", async () => {
    const engine = await engines.start();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(pidOf(engine), signal);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await post(engine, "SELECT 1", basic(engine.username, engine.password))).toEqual({ status: 200, body: "1" });
    expect(engine.status().restarts).toBe(0);
  });

  it("ends with its parent, even when that is killed", async () => {
    const built = join(__dirname, "../dist/engine.js");
    const program = `
      const logger = { info() {}, warn() {}, error() {} };
      require(${JSON.stringify(built)}).startEngine({ directory: ${JSON.stringify(engines.directory())}, logger })
        .then((engine) => console.log(engine.status().pid));`;
    const parent = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    const line = await new Promise<string>((resolve) => createInterface({ input: parent.stdout }).once("line", resolve));
    const pid = Number(line);
    expect(isRunning(pid)).toBe(true);
    parent.kill("SIGKILL");
    await until("the engine's end", () => !isRunning(pid));
  });

  it("refuses a directory that a living engine uses, and waits for one that is dying", async () => {
    const directory = engines.directory();
    const engine = await engines.start({ directory });
    const second = startEngine({ directory, logger: engines.logger() });
    await expect(second).rejects.toThrow(
      `the engine's directory ${directory} is in use by the engine process ${pidOf(engine)}; stop that one first`,
    );
    expect((await post(engine, "SELECT 1", basic(engine.username, engine.password))).body).toBe("1");

    const third = startEngine({ directory, logger: engines.logger() });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await engine.stop();
    await (await third).stop();
  });

  it("takes another port when that of last time is taken, but not when it was told which", async () => {
    const directory = engines.directory();
    const engine = await engines.start({ directory });
    await engine.stop();
    const port = Number(new URL(engine.url).port);
    const other = await listen(port);
    try {
      await expect(startEngine({ directory, port, logger: engines.logger() })).rejects.toThrow(
        `port ${port} on 127.0.0.1, where the engine should listen, is in use by another process`,
      );
      const moved = await engines.start({ directory });
      expect(moved.url).not.toBe(engine.url);
      expect(moved.password).toBe(engine.password);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  const mountable = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0;
  const itWithMounts = mountable ? it : it.skip;

  itWithMounts("waits for room on a full disk, and says so (needs the right to mount a small file system)", () => {
    const script = 'mount -t tmpfs -o size=64m tmpfs "$1" && exec "$2" "$3" "$1"';
    const directory = engines.directory();
    const program = join(__dirname, "fixtures/full-disk.js");
    const { stdout } = spawnSync("unshare", ["-rm", "sh", "-c", script, "sh", directory, process.execPath, program], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { waited, ready, refused, said } = JSON.parse(stdout);
    const no_room = `the disk is full: no room for ${directory}/engine/config.xml`;
    expect(waited).toMatchObject({ disk_full: true, last_error: no_room });
    expect(ready).toMatchObject({ disk_full: false, state: "ready" });
    expect(refused).toBe(`DiskFullError: the engine in ${directory}/engine can't start, because ${no_room}`);
    expect(said).toContainEqual({
      message: "the disk is full, the engine waits for room",
      death: no_room,
      pause_ms: 200,
      deaths_in_row: 1, // the one that was killed
      restarts_max: 10,
    });
  });

  it("says what is wrong when it can't start", async () => {
    const directory = engines.directory();
    writeFileSync(join(directory, "connection.json"), "{");
    await expect(engines.start({ directory })).rejects.toThrow("connection.json is damaged");
  });
});

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
