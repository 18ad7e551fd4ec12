/** Requests that ingest must refuse: what is wrong with each, the answer that is due, and what of it is kept as a dead letter. */
import { gzipSync } from "node:zlib";
import type { Codec } from "@assay/schemas/codec";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import { proven } from "@assay/schemas/enrolment";
import type { RawHost, RawRequest } from "./raw-host";
import { processEvent } from "./synthetic-host";

export interface BadRequest {
  readonly what: string;
  readonly request: RawRequest;
  readonly status: number;
  readonly code: string;
  /** The message has to name it: the value, the limit or the setting. */
  readonly says: RegExp;
  /** The reason of its dead letter, and the bytes that it keeps; null where the body isn't read to its end. */
  readonly dead_letter?: { readonly reason: DeadLetterReason; readonly bytes: Buffer | null };
}

const mebibyte = 1024 * 1024;
const hour_ms = 3_600_000;
const enrolment = { host_id: "h", host_name: "h", agent_version: "1", credential_sha256: "0".repeat(64) };
/** Of a refused record, ingest keeps this much. */
const kept_bytes_max = 512 * 1024;

/** challenge: one that ingest gave. */
export function badBatches(host: RawHost, other: RawHost, codec: Codec, challenge: string): BadRequest[] {
  const good = codec.encode("TelemetryBatch", host.batch([{}, {}]));
  const wire = (...batch: Parameters<RawHost["batch"]>) => codec.encode("TelemetryBatch", host.batch(...batch));
  const kept = (
    what: string,
    status: number,
    code: DeadLetterReason,
    says: RegExp,
    body: Buffer,
    request: Partial<RawRequest> = {},
  ): BadRequest => ({
    what,
    request: { path: "/v1/telemetry", body, ...request },
    status,
    code,
    says,
    dead_letter: { reason: code, bytes: body.subarray(0, kept_bytes_max) },
  });
  const unknownSchema = Buffer.from(good);
  unknownSchema.writeUInt32BE(0x7fff_ffff, 1);
  const zipped = { headers: { ...host.headers(), "content-encoding": "gzip" } };
  const future = Date.now() + 48 * hour_ms;
  const section = {
    host_id: host.host_id,
    host_name: host.host_id,
    incarnation: 1,
    section: "os",
    collected_at: Date.now(),
    sent_at: Date.now(),
    digest: "0".repeat(64),
    status: "collected" as const,
    reason: "",
    chunk: 0,
    chunks: 1,
    content: Buffer.from("{}"),
  };
  const inventory = codec.encode("InventorySection", section);
  const empty = host.batch([]);
  const one = { ...empty, processes: [processEvent(empty.sent_at, {})] };
  const processCount = firstDifference(codec.encode("TelemetryBatch", empty), codec.encode("TelemetryBatch", one));
  const withCount = (count: Buffer) => Buffer.concat([good.subarray(0, processCount), count, good.subarray(processCount + 1)]);
  const mute = { ...host.headers() };
  delete mute.authorization;

  return [
    kept("malformed: no wire format", 400, "not_wire_format", /wire format/, Buffer.from("GET / HTTP/1.1\r\n\r\n")),
    kept("malformed: an empty body", 400, "not_wire_format", /0 bytes/, Buffer.alloc(0)),
    kept("malformed: bytes at random behind the header", 400, "malformed_body", /./, scrambled(good)),
    kept("malformed: bytes left over", 400, "malformed_body", /./, Buffer.concat([good, Buffer.from("left over")])),
    kept("truncated in the middle", 400, "malformed_body", /./, good.subarray(0, good.length >> 1)),
    kept("truncated by one byte", 400, "malformed_body", /./, good.subarray(0, -1)),
    kept("gzip that is none", 400, "malformed_body", /not gzip/, Buffer.from("this is not gzip"), zipped),
    kept("truncated gzip", 400, "malformed_body", /not gzip/, gzipSync(good).subarray(0, -12), zipped),
    kept("wrong schema: an unknown id", 400, "unknown_schema", /2147483647/, unknownSchema),
    kept("wrong schema: inventory as telemetry", 400, "unexpected_schema", /InventorySection.*TelemetryBatch/, inventory),
    {
      what: "oversized: a body past the limit",
      request: { path: "/v1/telemetry", body: Buffer.alloc(4 * mebibyte + 1) },
      status: 413,
      code: "out_of_bounds",
      says: /4194305.*4194304.*ASSAY_INGEST_BODY_BYTES_MAX/,
      dead_letter: { reason: "out_of_bounds", bytes: null },
    },
    {
      what: "oversized: a body of no told length past the limit",
      request: { path: "/v1/telemetry", body: endlessBody(5 * mebibyte) },
      status: 413,
      code: "out_of_bounds",
      says: /4194304.*ASSAY_INGEST_BODY_BYTES_MAX/,
      dead_letter: { reason: "out_of_bounds", bytes: null },
    },
    kept(
      "oversized: gzip that becomes 64 MiB",
      413,
      "out_of_bounds",
      /16777216.*ASSAY_INGEST_DECOMPRESSED_BYTES_MAX/,
      gzipSync(Buffer.alloc(64 * mebibyte)),
      zipped,
    ),
    kept("oversized: too many events", 400, "out_of_bounds", /10000.*ASSAY_INGEST_EVENTS_MAX/, wire(Array(10_001).fill({}))),
    kept(
      "oversized: a text past the limit",
      400,
      "out_of_bounds",
      /65536.*ASSAY_INGEST_TEXT_BYTES_MAX/,
      wire([{ command_line: "x".repeat(65_537) }]),
    ),
    kept(
      "oversized: a record past the log's limit",
      413,
      "out_of_bounds",
      /1048576/,
      wire(Array.from({ length: 40 }, () => ({ command_line: "x".repeat(60_000) }))),
    ),
    kept("crafted count: 2^40 events", 400, "malformed_body", /1099511627776/, withCount(varint(2n ** 40n))),
    kept("crafted count: 2^40 events in a sized block", 400, "malformed_body", /1099511627776/, withCount(varint(-(2n ** 40n)))),
    kept("crafted count: a number without an end", 400, "malformed_body", /./, withCount(Buffer.alloc(20, 0xff))),
    kept(
      "crafted count: more ports than there are",
      400,
      "out_of_bounds",
      /65536/,
      wire([{ parent_listens: Array(65_537).fill(1) }]),
    ),
    kept("a time in the far future", 400, "out_of_bounds", /86400000/, wire([{ at: future }])),
    kept("a port that is none", 400, "invalid_body", /70000.*65535/, wire([{ parent_listens: [70_000] }])),
    kept("complete before it was observed", 400, "invalid_body", /complete_through/, wire([], { complete_through: 1 })),
    kept("inventory without its digest", 400, "invalid_body", /digest/, inventory, { path: "/v1/inventory" }),
    kept(
      "a batch for another host",
      403,
      "wrong_host",
      new RegExp(`${other.host_id}.*${host.host_id}`),
      wire([{}], { host_id: other.host_id }),
    ),
    refused("an encoding that isn't known", 415, "unsupported_encoding", /br/, {
      path: "/v1/telemetry",
      body: good,
      headers: { ...host.headers(), "content-encoding": "br" },
    }),
    refused("no credential", 401, "unauthorized", /Authorization/, { path: "/v1/telemetry", body: good, headers: mute }),
    refused("a wrong credential", 401, "unauthorized", /enrol/, {
      path: "/v1/telemetry",
      body: good,
      headers: { ...host.headers(), authorization: `Bearer ${"A".repeat(43)}` },
    }),
    refused("the credential of another host", 401, "unauthorized", /enrol/, {
      path: "/v1/telemetry",
      body: good,
      headers: { ...other.headers(), "x-assay-host": host.host_id },
    }),
    refused("a wrong enrolment secret", 401, "unauthorized", /ASSAY_ENROL_SECRET/, {
      path: "/v1/enrol",
      body: Buffer.from(JSON.stringify(proven("not the secret", { ...enrolment, challenge }))),
    }),
    refused("a challenge that ingest never gave", 401, "stale_challenge", /ask for another/, {
      path: "/v1/enrol",
      body: Buffer.from(JSON.stringify(proven("not the secret", { ...enrolment, challenge: "1.made.up" }))),
    }),
    refused("an enrolment that isn't JSON", 400, "invalid_body", /JSON/, { path: "/v1/enrol", body: Buffer.from("{") }),
  ];
}

function refused(what: string, status: number, code: string, says: RegExp, request: RawRequest): BadRequest {
  return { what, request, status, code, says };
}

/** Repeatable, and no batch by chance. */
function scrambled(wire: Buffer): Buffer {
  return Buffer.from(wire.map((byte, i) => (i < 5 ? byte : (byte * 31 + i * 17 + 255) & 0xff)));
}

function firstDifference(a: Buffer, b: Buffer): number {
  for (let i = 0; ; i++) if (a[i] !== b[i]) return i;
}

/** Avro's number: zigzag, seven bits a byte, low ones first. */
function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value >= 0n ? value * 2n : -value * 2n - 1n;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function endlessBody(bytes: number): ReadableStream<Uint8Array> {
  let left = bytes;
  return new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      left -= 64 * 1024;
      controller.enqueue(new Uint8Array(64 * 1024));
    },
  });
}
