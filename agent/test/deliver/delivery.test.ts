import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { DropCounts } from "@assay/agent/deliver/drop-counts";
import { HttpClient } from "@assay/agent/deliver/http-client";
import { IngestDelivery } from "@assay/agent/deliver/ingest-delivery";
import { Sender } from "@assay/agent/deliver/sender";
import { Spool } from "@assay/agent/deliver/spool";
import { StateFolder } from "@assay/agent/deliver/state-folder";
import { Codec, folderIds } from "@assay/schemas/codec";
import { type Enrolment, enrolmentProof } from "@assay/schemas/enrolment";
import type { InventorySection, TelemetryBatch } from "@assay/schemas/generated/types";
import { temporaryFolder } from "../temporary";
import { IngestServer, until } from "./ingest-server";

const codec = new Codec(folderIds());
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

function batch(seq: number, incarnation = 1_000, processes = 0): TelemetryBatch {
  const process = {
    at: 1,
    pid: 1,
    parent_pid: 0,
    started_at: 1,
    already_running: false,
    image: "/bin/x",
    image_deleted: false,
    command_line: "x".repeat(100),
    current_directory: "/",
    user: "root",
    parent_image: "",
    parent_command_line: "",
    parent_user: "",
    parent_listens: [],
    ancestors: [],
  };
  return {
    host_id: "host-1",
    host_name: "h",
    agent_version: "0",
    incarnation,
    seq,
    sent_at: 5,
    observed_from: 1,
    complete_through: 2,
    tags: {},
    processes: Array.from({ length: processes }, () => process),
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
}

function section(name: string, content: string, chunk = 0, chunks = 1): InventorySection {
  return {
    host_id: "host-1",
    host_name: "h",
    incarnation: 1,
    section: name,
    collected_at: 1,
    sent_at: 1,
    digest: "0".repeat(64),
    status: "collected",
    reason: "",
    chunk,
    chunks,
    content: Buffer.from(content),
  };
}

let server: IngestServer;
const senders: Sender[] = [];

beforeEach(async () => {
  server = new IngestServer("s");
  await server.start();
});
afterEach(async () => {
  for (const sender of senders.splice(0)) await sender.stop(0);
  await server.stop();
});

function delivery({
  folder = temporaryFolder(),
  secret = "s",
  bytes_max = 1e9,
  request_wait_ms = 2_000,
  first_ms = 1,
  logged = [] as string[],
} = {}) {
  const state = StateFolder.open(folder);
  const drops = new DropCounts();
  const note = (_: object, message: string) => logged.push(message);
  const logger = { info: note, warn: note, error: note };
  const spool = new Spool({ folder: join(folder, "spool"), bytes_max, codec, drops, logger });
  let time = 10_000;
  const now = () => ++time;
  const sender = new Sender({
    delivery: new IngestDelivery({
      client: new HttpClient({ url: server.url, request_wait_ms, ca: undefined, own: new OwnConnections(Date.now) }),
      state,
      codec,
      logger,
      host_id: "host-1",
      host_name: "h",
      agent_version: "0",
      secret: secret === "" ? undefined : secret,
      now,
    }),
    spool,
    drops,
    logger,
    retry: { first_ms, max_ms: 20 },
    now,
    random: () => 0.5,
  });
  senders.push(sender);
  return { folder, spool, sender, drops, state, logged };
}

it("enrols by proof of the secret, keeps the credential that it made, and sends with it", async () => {
  const { folder, spool, sender } = delivery();
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => spool.isEmpty);
  const credential = readFileSync(join(folder, "credential"), "utf8");
  expect(Buffer.from(credential, "base64url")).toHaveLength(32);
  expect(server.enrolments.map((r) => r.path)).toEqual(["/v1/enrol/challenge", "/v1/enrol"]);
  expect(JSON.parse(server.enrolments[1]?.body.toString() ?? "")).toEqual({
    host_id: "host-1",
    host_name: "h",
    agent_version: "0",
    challenge: "a challenge",
    credential_sha256: createHash("sha256").update(credential).digest("hex"),
    proof: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  expect(server.requests[0]?.headers).toMatchObject({
    "content-type": "application/vnd.assay.avro",
    authorization: `Bearer ${credential}`,
    "x-assay-host": "host-1",
  });
  expect(statSync(join(folder, "credential")).mode & 0o777).toBe(0o600);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

it("compresses what is large, and leaves what is small", async () => {
  const { spool, sender } = delivery();
  spool.addTelemetry(batch(1));
  spool.addTelemetry(batch(2, 1_000, 50));
  sender.start();
  await until(() => server.batches().length === 2);
  expect(server.requests.map((r) => r.headers["content-encoding"])).toEqual([undefined, "gzip"]);
  expect(server.batches()[1]?.processes).toHaveLength(50);
});

it("sends the same batch again after errors, at a new time, and nothing before it", async () => {
  const statuses = [500, 503, 429, 404];
  server.answer = () => ({ status: statuses.shift() ?? 200 });
  const { spool, sender } = delivery();
  for (const seq of [1, 2, 3]) spool.addTelemetry(batch(seq));
  sender.start();
  await until(() => spool.isEmpty);
  expect(server.batches().map((b) => b.seq)).toEqual([1, 1, 1, 1, 1, 2, 3]);
  const times = server.batches().map((b) => b.sent_at);
  expect([...times].sort((a, b) => a - b)).toEqual(times);
  expect(new Set(times).size).toBe(times.length);
});

it("waits as long as Retry-After says", async () => {
  let first = true;
  server.answer = () => {
    if (!first) return { status: 200 };
    first = false;
    return { status: 429, headers: { "retry-after": "0.3" } };
  };
  const { spool, sender } = delivery();
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => spool.isEmpty);
  const [refused, accepted] = server.requests;
  expect((accepted?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThanOrEqual(290);
});

it("gives up on an answer that doesn't come, and tries again", async () => {
  let hung = false;
  const usual = server.answer;
  server.answer = (request) => {
    if (request.path !== "/v1/telemetry" || hung) return usual(request);
    hung = true;
    return { status: 200, hang: true };
  };
  const { spool, sender } = delivery({ request_wait_ms: 100 });
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => spool.isEmpty);
  expect(server.batches().map((b) => b.seq)).toEqual([1, 1]);
});

it("drops and counts what ingest can't use, with its events", async () => {
  const usual = server.answer;
  server.answer = (request) => {
    const value = request.decoded?.name === "TelemetryBatch" ? request.decoded.value : undefined;
    return value?.seq === 1 ? { status: 422, body: "clock" } : usual(request);
  };
  const { spool, sender, drops, logged } = delivery();
  spool.addTelemetry({ ...batch(1, 1_000, 3), drops: [{ kind: "listeners", reason: "earlier", count: 2 }] });
  spool.addTelemetry(batch(2));
  sender.start();
  await until(() => spool.isEmpty);
  expect(drops.take()).toEqual([
    { kind: "batches", reason: "rejected", count: 1 },
    { kind: "processes", reason: "rejected", count: 3 },
    { kind: "listeners", reason: "earlier", count: 2 },
  ]);
  expect(logged).toContain("ingest can't use this; dropped");
});

it("enrols again when the credential is refused", async () => {
  server.answer = ({ headers }) => {
    const sent = createHash("sha256")
      .update(headers.authorization?.slice("Bearer ".length) ?? "")
      .digest("hex");
    return { status: server.taken.length === 2 && server.taken[1] === sent ? 200 : 401 };
  };
  const { folder, spool, sender } = delivery();
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => spool.isEmpty);
  expect(server.taken).toHaveLength(2);
  const kept = readFileSync(join(folder, "credential"), "utf8");
  expect(createHash("sha256").update(kept).digest("hex")).toBe(server.taken[1]);
});

describe("another process on ingest's port, which doesn't know the secret", () => {
  const secret = "the secret of the fleet";

  /** What it was sent; it answers 401 to all telemetry, and grants whatever is asked of it. */
  async function robbed(answerEnrolment: IngestServer["answerEnrolment"]) {
    server.answer = () => ({ status: 401, body: '{"error":{"code":"unauthorized"}}' });
    server.answerEnrolment = answerEnrolment;
    const folder = temporaryFolder();
    writeFileSync(join(folder, "credential"), "c".repeat(43));
    const { spool, sender, logged } = delivery({ folder, secret });
    spool.addTelemetry(batch(1));
    sender.start();
    await until(() => server.requests.length >= 3);
    return { folder, spool, logged, sent: [...server.requests, ...server.enrolments] };
  }

  it.each<[string, IngestServer["answerEnrolment"]]>([
    ["answers 401 to all", () => ({ status: 401 })],
    ["grants a credential as it likes", () => ({ status: 201, body: '{"challenge":"c","credential":"theirs","proof":"none"}' })],
    [
      "gives the agent's own proof back",
      ({ body }) => ({ status: 200, body: JSON.stringify({ challenge: "c", ...(JSON.parse(body.toString()) as object) }) }),
    ],
    [
      "proves another secret",
      ({ path, body }) => {
        if (path === "/v1/enrol/challenge") return { status: 200, body: '{"challenge":"c"}' };
        const proof = enrolmentProof("a guess", "ingest", JSON.parse(body.toString()) as Enrolment);
        return { status: 201, body: JSON.stringify({ proof }) };
      },
    ],
  ])("gets neither the secret nor the agent to change its credential: it %s", async (_, answerEnrolment) => {
    const { folder, spool, sent } = await robbed(answerEnrolment);
    expect(server.enrolments.length).toBeGreaterThan(0);
    const all = sent.map((r) => r.path + JSON.stringify(r.headers) + r.body.toString("latin1")).join("\n");
    for (const form of [secret, Buffer.from(secret).toString("base64"), createHash("sha256").update(secret).digest("hex")]) {
      expect(all).not.toContain(form);
    }
    expect(readFileSync(join(folder, "credential"), "utf8")).toBe("c".repeat(43));
    expect(new Set(server.requests.map((r) => r.headers.authorization))).toEqual(new Set([`Bearer ${"c".repeat(43)}`]));
    expect(spool.waitingBatches).toBe(1);
  });

  it("does not keep the agent from delivering to ingest with its credential afterwards", async () => {
    const { spool } = await robbed(() => ({ status: 401 }));
    server.answer = ({ headers }) => ({ status: headers.authorization === `Bearer ${"c".repeat(43)}` ? 200 : 401 });
    await until(() => spool.isEmpty);
  });
});

it("waits where something answers 403, without another enrolment", async () => {
  const { spool, sender, drops } = delivery();
  const statuses = [403, 403];
  server.answer = () => ({ status: statuses.shift() ?? 200, body: "a proxy's page" });
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => spool.isEmpty);
  expect(server.batches().map((b) => b.seq)).toEqual([1, 1, 1]);
  expect(server.taken).toHaveLength(1);
  expect(drops.take()).toEqual([]);
});

it("says once that there is neither credential nor secret, and keeps what waits", async () => {
  const { spool, sender, logged } = delivery({ secret: "" });
  spool.addTelemetry(batch(1));
  sender.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(logged.filter((l) => l === "enrolment failed")).toHaveLength(1);
  expect(server.requests).toEqual([]);
  expect(spool.waitingBatches).toBe(1);
});

it("delivers what a stopped agent left, first and as it was", async () => {
  await server.stop();
  const before = delivery();
  before.sender.start();
  for (const seq of [1, 2, 3]) before.spool.addTelemetry(batch(seq, 1_000));
  before.sender.poke();
  await before.sender.stop(200);
  before.state.close();
  expect(readdirSync(join(before.folder, "spool", "telemetry"))).toHaveLength(3);

  await server.start();
  const after = delivery({ folder: before.folder });
  after.spool.addTelemetry(batch(1, 2_000));
  after.sender.start();
  await until(() => after.spool.isEmpty);
  expect(server.batches().map((b) => [b.incarnation, b.seq])).toEqual([
    [1_000, 1],
    [1_000, 2],
    [1_000, 3],
    [2_000, 1],
  ]);
  expect(readdirSync(join(before.folder, "spool", "telemetry"))).toEqual([]);
});

it("sends all that waits before it stops", async () => {
  const { spool, sender } = delivery();
  sender.start();
  for (let seq = 1; seq <= 20; seq++) spool.addTelemetry(batch(seq));
  await sender.stop(2_000);
  expect(server.batches().map((b) => b.seq)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});

it("stops in time where ingest hangs", async () => {
  server.answer = () => ({ status: 200, hang: true });
  const { spool, sender } = delivery({ request_wait_ms: 60_000 });
  spool.addTelemetry(batch(1));
  sender.start();
  await until(() => server.requests.length === 1);
  const started = performance.now();
  await sender.stop(100);
  expect(performance.now() - started).toBeLessThan(1_000);
  expect(spool.waitingBatches).toBe(1);
});

it("lets inventory and telemetry take turns", async () => {
  const { spool, sender } = delivery();
  for (const seq of [1, 2, 3]) spool.addTelemetry(batch(seq));
  spool.addInventory([section("packages", "a", 0, 2), section("packages", "b", 1, 2)]);
  sender.start();
  await until(() => spool.isEmpty);
  expect(server.requests.map((r) => r.path)).toEqual([
    "/v1/inventory",
    "/v1/telemetry",
    "/v1/inventory",
    "/v1/telemetry",
    "/v1/telemetry",
  ]);
});

describe("the spool", () => {
  function spoolIn(folder: string, bytes_max = 1e9) {
    const drops = new DropCounts();
    return { spool: new Spool({ folder, bytes_max, codec, drops, logger: silent }), drops };
  }

  it("drops the oldest when it is full, and counts their events", () => {
    const size = codec.encode("TelemetryBatch", batch(1, 1_000, 10)).length;
    const { spool, drops } = spoolIn(temporaryFolder(), size * 3 + 10);
    for (let seq = 1; seq <= 5; seq++) spool.addTelemetry(batch(seq, 1_000, 10));
    expect(spool.waitingBatches).toBe(3);
    const next = spool.next();
    expect(next?.kind === "telemetry" && next.value.seq).toBe(3);
    expect(drops.take()).toEqual([
      { kind: "batches", reason: "spool_full", count: 2 },
      { kind: "processes", reason: "spool_full", count: 20 },
    ]);
  });

  it("does not drop what is on its way", () => {
    const size = codec.encode("TelemetryBatch", batch(1, 1_000, 10)).length;
    const { spool, drops } = spoolIn(temporaryFolder(), size * 2 + 10);
    spool.addTelemetry(batch(1, 1_000, 10));
    const sending = spool.next();
    for (let seq = 2; seq <= 4; seq++) spool.addTelemetry(batch(seq, 1_000, 10));
    if (sending) spool.done(sending);
    const next = spool.next();
    expect(next?.kind === "telemetry" && next.value.seq).toBe(4);
    expect(drops.take()).toContainEqual({ kind: "batches", reason: "spool_full", count: 2 });
  });

  it("keeps a newer section in place of an older one, also while that is on its way", () => {
    const { spool } = spoolIn(temporaryFolder());
    spool.addInventory([section("os", "old")]);
    const old = spool.next();
    spool.addInventory([section("os", "new")]);
    if (old) spool.done(old);
    const next = spool.next();
    expect(next?.kind === "inventory" && next.value.content.toString()).toBe("new");
  });

  it("passes over a damaged file, and counts it", () => {
    const folder = temporaryFolder();
    const first = spoolIn(folder);
    for (const seq of [1, 2]) first.spool.addTelemetry(batch(seq));
    const [name = ""] = readdirSync(join(folder, "telemetry"));
    writeFileSync(join(folder, "telemetry", name), "no avro");
    writeFileSync(join(folder, "telemetry", "half.avro.new"), "left by a kill");
    const { spool, drops } = spoolIn(folder);
    const next = spool.next();
    expect(next?.kind === "telemetry" && next.value.seq).toBe(2);
    expect(drops.take()).toEqual([{ kind: "batches", reason: "spool_unreadable", count: 1 }]);
    expect(readdirSync(join(folder, "telemetry"))).toHaveLength(1);
  });

  it("keeps batches in memory where the disk takes none", () => {
    const folder = temporaryFolder();
    const { spool, drops } = spoolIn(folder);
    // A folder in the file's place makes the write fail, for root too.
    const { mkdirSync } = jest.requireActual<typeof import("node:fs")>("node:fs");
    mkdirSync(join(folder, "telemetry", "000000000001000-000000000000001.avro.new"));
    spool.addTelemetry(batch(1));
    spool.addTelemetry(batch(2));
    const next = spool.next();
    expect(next?.kind === "telemetry" && next.value.seq).toBe(1);
    expect(spool.waitingBatches).toBe(2);
    expect(drops.take()).toEqual([]);
  });
});

describe("the state folder", () => {
  it("keeps who the host is, and lets incarnations grow also when the clock goes back", () => {
    const folder = temporaryFolder();
    const first = StateFolder.open(folder);
    const host = first.hostId("/nowhere");
    const mark = first.mark();
    expect(first.nextIncarnation(5_000)).toBe(5_000);
    first.close();
    const second = StateFolder.open(folder);
    expect(second.hostId("/nowhere")).toBe(host);
    expect(second.mark()("x")).toBe(mark("x"));
    expect(second.nextIncarnation(4_000)).toBe(5_001);
  });

  it("marks are 12 digits, one per secret, and differ from host to host", () => {
    const one = StateFolder.open(temporaryFolder()).mark();
    const other = StateFolder.open(temporaryFolder()).mark();
    expect(one("a")).toMatch(/^\[REDACTED:[0-9a-f]{12}\]$/);
    expect(one("a")).not.toBe(one("b"));
    expect(one("a")).not.toBe(other("a"));
  });

  it("is refused while another process uses it, and taken when that has ended", () => {
    const folder = temporaryFolder();
    const parent = readFileSync(`/proc/${process.ppid}/stat`, "utf8");
    const ticks = parent.slice(parent.lastIndexOf(")") + 2).split(" ")[19];
    writeFileSync(join(folder, "agent.pid"), `${process.ppid} ${ticks}`);
    expect(() => StateFolder.open(folder)).toThrow(/in use by the agent with pid \d+ \(ASSAY_AGENT_STATE\)/);
    writeFileSync(join(folder, "agent.pid"), `${process.ppid} 1`);
    StateFolder.open(folder).close();
  });
});
