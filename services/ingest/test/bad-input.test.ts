import { request } from "node:http";
import { gzipSync } from "node:zlib";
import type { RefusalReason } from "@assay/ingest/metrics";
import { dead_letter_bytes_max } from "@assay/ingest/settings";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import {
  type Answered,
  asHost,
  codec,
  type GivenIngest,
  givenIngest,
  host_id,
  listenerAt,
  processAt,
  sectionOf,
  telemetryWire,
} from "./given-ingest";

const megabyte = 1024 * 1024;
const day = 24 * 3_600_000;
let ingest: GivenIngest;
afterEach(() => ingest.stop());

/** Refused for this reason, kept as a dead letter with its bytes, appended nowhere else; and a good batch afterwards is taken. */
async function expectRefused(
  answer: Answered,
  status: number,
  reason: RefusalReason,
  message: string | RegExp,
  bytes: Buffer | null,
) {
  expect(answer).toMatchObject({ status, body: { error: { code: reason } } });
  expect(answer.body.error?.message).toMatch(message);
  const letters = await ingest.deadLetters();
  expect(letters).toHaveLength(1);
  expect(letters[0]).toMatchObject({ service: "ingest", reason, host_id, partition: -1, offset: -1 });
  expect(letters[0]?.detail).toMatch(message);
  if (bytes === null) expect(letters[0]?.value).toBeNull();
  else expect(letters[0]?.value?.equals(bytes.subarray(0, dead_letter_bytes_max))).toBe(true);
  expect(await ingest.metric(`assay_ingest_refused_total{reason="${reason}"}`)).toBe(1);
  expect(await ingest.records(topics.telemetry)).toEqual([]);
  expect(await ingest.records(topics.inventory)).toEqual([]);
  expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
}

/** Nothing was kept of it. */
async function expectNothingKept() {
  expect(await ingest.deadLetters()).toEqual([]);
  expect(await ingest.records(topics.telemetry)).toEqual([]);
}

describe("a body that is no record", () => {
  beforeEach(async () => {
    ingest = await givenIngest();
  });

  test("in another format", async () => {
    const body = Buffer.from('{"host_id":"host-1"}');
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "not_wire_format", "20 bytes that don't begin with", body);
  });

  test("of no bytes", async () => {
    const body = Buffer.alloc(0);
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "not_wire_format", "0 bytes", body);
  });

  test("of an unknown schema", async () => {
    const body = telemetryWire();
    body.writeUInt32BE(4_000_000_000, 1);
    await expectRefused(
      await ingest.post("/v1/telemetry", body),
      400,
      "unknown_schema",
      "schema id 4000000000 is not known",
      body,
    );
  });

  test("of another schema than is due", async () => {
    const body = codec.encode("InventorySection", sectionOf());
    const message = "InventorySection where TelemetryBatch is due";
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "unexpected_schema", message, body);
  });

  test("that only the services may write", async () => {
    const silent = { host_id, incarnation: 1, seq: 1, silent_since: 1, at: 2, timeout_ms: 1 };
    const body = codec.encode("HostSilent", silent);
    await expectRefused(
      await ingest.post("/v1/telemetry", body),
      400,
      "unexpected_schema",
      "HostSilent where TelemetryBatch is due",
      body,
    );
  });

  test("cut short", async () => {
    const body = telemetryWire().subarray(0, -20);
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "malformed_body", /listeners|collectors|drops/, body);
  });

  test("with bytes after the record", async () => {
    const body = Buffer.concat([telemetryWire(), Buffer.from("more")]);
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "malformed_body", "4 bytes follow the record", body);
  });

  test("that claims a billion processes", async () => {
    const empty = telemetryWire({ tags: {}, processes: [], connections: [], listeners: [], collectors: [], drops: [] });
    // Its last six bytes are the ends of six empty arrays and maps; the second is the processes'.
    const count = Buffer.from([0x80, 0xa8, 0xd6, 0xb9, 0x07]);
    const body = Buffer.concat([empty.subarray(0, -5), count, Buffer.alloc(5)]);
    const started = performance.now();
    const answer = await ingest.post("/v1/telemetry", body);
    expect(performance.now() - started).toBeLessThan(1_000);
    await expectRefused(answer, 400, "malformed_body", /^processes: claims 1000000000 elements, 5 bytes are left/, body);
  });

  test("that claims to be gzip", async () => {
    const body = telemetryWire();
    const answer = await ingest.post("/v1/telemetry", body, { ...asHost(), "content-encoding": "gzip" });
    await expectRefused(answer, 400, "malformed_body", "not gzip", body);
  });

  test("of gzip cut short", async () => {
    const body = gzipSync(telemetryWire()).subarray(0, -12);
    const answer = await ingest.post("/v1/telemetry", body, { ...asHost(), "content-encoding": "gzip" });
    await expectRefused(answer, 400, "malformed_body", "not gzip: unexpected end of file", body);
  });

  test("in an encoding that isn't known is refused unread", async () => {
    const answer = await ingest.post("/v1/telemetry", telemetryWire(), { ...asHost(), "content-encoding": "br" });
    expect(answer).toMatchObject({ status: 415, body: { error: { code: "unsupported_encoding" } } });
    await expectNothingKept();
  });
});

describe("a record past a limit", () => {
  beforeEach(async () => {
    ingest = await givenIngest({
      settings: { body_bytes_max: 100_000, decompressed_bytes_max: 2 * megabyte, text_bytes_max: 1_024, events_max: 100 },
    });
  });

  test("in its body's claimed length", async () => {
    const message = "body of 200000 bytes is above the limit of 100000 bytes (ASSAY_INGEST_BODY_BYTES_MAX)";
    await expectRefused(await ingest.post("/v1/telemetry", Buffer.alloc(200_000)), 413, "out_of_bounds", escaped(message), null);
  });

  test("in its body, whose length was not told", async () => {
    const { status, body } = await stream(ingest.port, "/v1/telemetry", asHost(), 20, Buffer.alloc(10_000));
    const answer = { status, body: JSON.parse(body), retry_after: null };
    await expectRefused(
      answer,
      413,
      "out_of_bounds",
      escaped("above the limit of 100000 bytes (ASSAY_INGEST_BODY_BYTES_MAX)"),
      null,
    );
  });

  test("once it is decompressed", async () => {
    const bomb = gzipSync(Buffer.alloc(50 * megabyte));
    const answer = await ingest.post("/v1/telemetry", bomb, { ...asHost(), "content-encoding": "gzip" });
    const message = `body of ${bomb.length} bytes decompresses to more than the limit of 2097152 bytes (ASSAY_INGEST_DECOMPRESSED_BYTES_MAX)`;
    await expectRefused(answer, 413, "out_of_bounds", escaped(message), bomb);
  });

  test("in a text", async () => {
    const body = telemetryWire({ processes: [{ ...processAt(Date.now()), command_line: "x".repeat(1_025) }] });
    const message = "processes.[0].command_line: text of 1025 bytes is above the limit of 1024 (ASSAY_INGEST_TEXT_BYTES_MAX)";
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "out_of_bounds", escaped(message), body);
  });

  test("in its events together", async () => {
    const now = Date.now();
    const body = telemetryWire({
      processes: Array(60).fill(processAt(now)),
      listeners: Array(60).fill(listenerAt(now)),
      connections: [],
    });
    const message = "batch of 120 events is above the limit of 100 (ASSAY_INGEST_EVENTS_MAX)";
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, "out_of_bounds", escaped(message), body);
  });

  test("in what the log takes as one record", async () => {
    const now = Date.now();
    const body = telemetryWire({
      processes: Array(99).fill({ ...processAt(now), ancestors: Array(11).fill("x".repeat(1_000)) }),
      connections: [],
    });
    const answer = await ingest.post("/v1/telemetry", gzipSync(body), { ...asHost(), "content-encoding": "gzip" });
    await expectRefused(answer, 413, "out_of_bounds", /^a record of \d+ bytes for assay.telemetry; at most 1048576 bytes/, body);
  });

  test("keeps a part of its bytes that fits a record", async () => {
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, 99]), Buffer.alloc(700_000, 7)]);
    const answer = await ingest.post("/v1/telemetry", gzipSync(body), { ...asHost(), "content-encoding": "gzip" });
    await expectRefused(answer, 400, "unknown_schema", "schema id 99", body);
    expect((await ingest.deadLetters())[0]?.detail).toContain("the first 524288 of 700005 bytes are kept");
  });
});

describe("a record whose content can't be meant", () => {
  beforeEach(async () => {
    ingest = await givenIngest();
  });

  const now = Date.now();
  test.each([
    ["seq", { seq: 0 }, "invalid_body", "seq is 0, not positive"],
    ["sent_at", { sent_at: -5 }, "invalid_body", "sent_at is -5, not positive"],
    [
      "complete_through",
      { observed_from: 200, complete_through: 100 },
      "invalid_body",
      "complete_through 100 is before observed_from 200",
    ],
    [
      "complete_through far ahead",
      { sent_at: now, complete_through: now + 2 * day },
      "out_of_bounds",
      "complete_through is 172800000 ms after",
    ],
    [
      "an event far ahead",
      { sent_at: now, processes: [processAt(now + 2 * day)] },
      "out_of_bounds",
      "processes[0]: at is 172800000 ms after",
    ],
    [
      "an event far behind",
      { sent_at: now, processes: [processAt(now - 40 * day)] },
      "out_of_bounds",
      "processes[0]: at is 3456000000 ms before",
    ],
    ["a port", { listeners: [{ ...listenerAt(now), port: 65_536 }] }, "invalid_body", "listeners[0]: port is 65536, not a port"],
    ["a pid", { processes: [{ ...processAt(now), pid: -1 }] }, "invalid_body", "processes[0]: pid is -1, below 0"],
    ["a drop's kind", { drops: [{ kind: "files", reason: "", count: 1 }] }, "invalid_body", 'drops of "files"'],
    ["a drop's count", { drops: [{ kind: "processes", reason: "", count: -1 }] }, "invalid_body", "drops of processes are -1"],
    [
      "a collector",
      { collectors: [{ collector: "x", status: "ok" as const, reason: "", missing_fields: [] }] },
      "invalid_body",
      'collector "x"',
    ],
    [
      "too many tags",
      { tags: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`t${i}`, ""])) },
      "out_of_bounds",
      "101 tags",
    ],
  ] as const)("telemetry: %s", async (_, changes, reason, message) => {
    const body = telemetryWire(changes as Parameters<typeof telemetryWire>[0]);
    await expectRefused(await ingest.post("/v1/telemetry", body), 400, reason, escaped(message), body);
  });

  test.each([
    ["section", { section: "registry" }, "invalid_body", 'section "registry" is none of os'],
    ["digest", { digest: "x" }, "invalid_body", 'digest "x" is not a SHA-256'],
    ["a digest of something else", { digest: "0".repeat(64) }, "invalid_body", "the content doesn't have the digest"],
    ["chunk", { chunk: 2, chunks: 2 }, "invalid_body", "chunk 2 of 2"],
    ["chunks", { chunk: 0, chunks: 1_000 }, "out_of_bounds", "1000 chunks are above the limit of 64"],
    [
      "content",
      { content: Buffer.alloc(512 * 1024 + 1) },
      "out_of_bounds",
      "content: bytes of 524289 bytes is above the limit of 524288",
    ],
    ["collected_at", { collected_at: 0 }, "invalid_body", "collected_at is 0"],
  ] as const)("inventory: %s", async (_, changes, reason, message) => {
    const body = codec.encode("InventorySection", sectionOf(changes));
    await expectRefused(await ingest.post("/v1/inventory", body), 400, reason, escaped(message), body);
    expect((await ingest.deadLetters())[0]?.topic).toBe(topics.inventory.name);
  });
});

describe("a sender who isn't the host", () => {
  beforeEach(async () => {
    ingest = await givenIngest();
  });

  test.each([
    ["with no credential", { "x-assay-host": host_id }],
    ["with no host", { authorization: `Bearer ${"c".repeat(43)}` }],
    ["with a wrong credential", asHost(host_id, "x".repeat(43))],
    ["of an unknown host", asHost("host-2")],
  ])("%s is refused, and nothing is kept", async (_, headers) => {
    const answer = await ingest.post("/v1/telemetry", telemetryWire(), headers as Record<string, string>);
    expect(answer).toMatchObject({ status: 401, body: { error: { code: "unauthorized" } } });
    expect(await ingest.metric('assay_ingest_refused_total{reason="unauthorized"}')).toBe(1);
    await expectNothingKept();
  });

  test("is answered before the body comes", async () => {
    const { status } = await stream(ingest.port, "/v1/telemetry", asHost("host-2"), 1, Buffer.from([0]), { keep_open: true });
    expect(status).toBe(401);
  });

  test("who sends on after the refusal is cut off", async () => {
    const chunk = Buffer.alloc(megabyte);
    let sent_bytes = 0;
    await new Promise<void>((resolve) => {
      const sent = request({
        port: ingest.port,
        host: "127.0.0.1",
        path: "/v1/telemetry",
        method: "POST",
        headers: asHost("host-2"),
      });
      const write = () => {
        if (sent.destroyed) return;
        sent_bytes += chunk.length;
        sent.write(chunk, write);
      };
      sent.on("error", () => undefined);
      sent.on("close", resolve);
      write();
    });
    expect(sent_bytes).toBeLessThan(64 * megabyte);
    await expectNothingKept();
  });

  test("with the batch of another host is refused, and the batch kept", async () => {
    const body = telemetryWire({ host_id: "host-2" });
    const message = 'the record is of host "host-2", the credential of "host-1"';
    await expectRefused(await ingest.post("/v1/telemetry", body), 403, "wrong_host", message, body);
  });

  test("with the inventory of another host is refused", async () => {
    const body = codec.encode("InventorySection", sectionOf({ host_id: "host-2" }));
    await expectRefused(await ingest.post("/v1/inventory", body), 403, "wrong_host", "host-2", body);
  });

  test("does not make ingest read control without end", async () => {
    const strangers = Array.from({ length: 20 }, () => ingest.post("/v1/telemetry", telemetryWire(), asHost("host-2")));
    await Promise.all(strangers);
    expect(ingest.agents.refreshes).toBeLessThan(20);
  });
});

describe("a log that can't take it", () => {
  test("because it is full: the agent is told to keep the batch and when to come back, good or bad", async () => {
    ingest = await givenIngest({ log_bytes_max: 4 * megabyte });
    const now = Date.now();
    const large = telemetryWire({ processes: Array(60).fill({ ...processAt(now), command_line: "x".repeat(10_000) }) });
    let answer: Answered;
    let accepted = 0;
    do {
      answer = await ingest.post("/v1/telemetry", large);
      if (answer.status === 200) accepted += 1;
    } while (answer.status === 200);
    expect(answer).toMatchObject({ status: 507, retry_after: "30", body: { error: { code: "log_full" } } });
    expect(answer.body.error?.message).toMatch(/^the log is full: .*; keep the record and send it again$/);
    expect(ingest.ready()).toMatchObject({ ready: false, reason: expect.stringContaining("the log is full") });
    // Dead letters have some room left. A bad one is refused for good as long as it can be kept, and no longer.
    let kept = 0;
    let bad = await ingest.post("/v1/telemetry", Buffer.alloc(600_000, 1));
    while (bad.status === 400 && kept < 1_000) {
      kept++;
      bad = await ingest.post("/v1/telemetry", Buffer.alloc(600_000, 1));
    }
    expect(bad.status).toBe(507);
    expect(await ingest.records(topics.deadLetters)).toHaveLength(kept);
    expect(await ingest.records(topics.telemetry)).toHaveLength(accepted);
    expect(accepted).toBeGreaterThan(0);
  });

  test("for now: 503, and ready again with the next append", async () => {
    let failing = true;
    ingest = await givenIngest({
      wrap: (log) => appendingBy(log, (append) => (failing ? Promise.reject(new Error("disk error")) : append())),
    });
    const answer = await ingest.post("/v1/telemetry", telemetryWire());
    expect(answer).toMatchObject({ status: 503, retry_after: "5", body: { error: { code: "append_failed" } } });
    expect(ingest.ready()).toEqual({ ready: false, reason: "can't append to the log: disk error" });
    failing = false;
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
    expect(ingest.ready()).toEqual({ ready: true });
  });

  test("soon: requests past the limit are sent away, and each host has its share", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    ingest = await givenIngest({
      settings: { requests_in_flight_max: 6 },
      wrap: (log) => appendingBy(log, (append) => held.then(append)),
    });
    for (const host of ["host-2", "host-3"]) ingest.agents.set(host, "c".repeat(43));
    const send = (host: string, count: number) =>
      Array.from({ length: count }, () => ingest.post("/v1/telemetry", telemetryWire({ host_id: host }), asHost(host)));
    const first = send(host_id, 4);
    await until(async () => (await ingest.metric("assay_ingest_requests_in_flight")) === 4);
    expect(await send(host_id, 1)[0]).toMatchObject({ status: 429, retry_after: "1", body: { error: { code: "overloaded" } } });
    const second = send("host-2", 2);
    await until(async () => (await ingest.metric("assay_ingest_requests_in_flight")) === 6);
    expect(await send("host-3", 1)[0]).toMatchObject({ status: 503, retry_after: "1", body: { error: { code: "overloaded" } } });
    release();
    const answers = await Promise.all([...first, ...second]);
    expect(answers.map((a) => a.status)).toEqual(Array(6).fill(200));
    expect(await ingest.metric("assay_ingest_requests_in_flight")).toBe(0);
  });
});

describe("a sender who goes away", () => {
  test("in the middle of a body leaves nothing behind", async () => {
    ingest = await givenIngest();
    await new Promise<void>((resolve) => {
      const sent = request({
        port: ingest.port,
        host: "127.0.0.1",
        path: "/v1/telemetry",
        method: "POST",
        headers: { ...asHost(), "content-length": 1000 },
      });
      sent.on("error", () => resolve());
      sent.write(telemetryWire().subarray(0, 100), () => setTimeout(() => sent.destroy(new Error("gone")), 50));
    });
    await until(async () => (await ingest.metric("assay_ingest_requests_in_flight")) === 0);
    await expectNothingKept();
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
  });
});

function appendingBy(log: Log, by: (append: () => ReturnType<Log["append"]>) => ReturnType<Log["append"]>): Log {
  return new Proxy(log, {
    get(target, name) {
      if (name === "append") return (records: Parameters<Log["append"]>[0]) => by(() => target.append(records));
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Sends chunks without telling the length. keep_open: never ends the body. */
function stream(
  port: number,
  path: string,
  headers: Record<string, string>,
  chunks: number,
  chunk: Buffer,
  options: { keep_open?: boolean } = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: "127.0.0.1", path, method: "POST", headers }, (response) => {
      let body = "";
      response.on("data", (text: Buffer) => {
        body += text.toString();
      });
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, body });
        sent.destroy();
      });
    });
    sent.on("error", reject);
    for (let i = 0; i < chunks; i++) sent.write(chunk);
    if (!options.keep_open) sent.end();
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error("did not come about within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function escaped(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
}
