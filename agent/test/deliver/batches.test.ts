import { backoff_ms } from "@assay/agent/deliver/backoff";
import { Batcher } from "@assay/agent/deliver/batcher";
import { createClock } from "@assay/agent/deliver/clock";
import { DropCounts } from "@assay/agent/deliver/drop-counts";
import { Events } from "@assay/agent/deliver/events";
import type { Spool } from "@assay/agent/deliver/spool";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { ListenerEvent, ProcessEvent, TelemetryBatch } from "@assay/schemas/generated/types";

function listener(at: number, command_line = "x"): ListenerEvent {
  return {
    at,
    protocol: "tcp",
    address: "::",
    port: 1,
    pid: 1,
    image: "/x",
    command_line,
    user: "u",
    application_protocol: "",
    channel: "unknown",
    tls: null,
  };
}

const codec = new Codec(folderIds());

function process(at: number): ProcessEvent {
  return {
    at,
    pid: 1,
    parent_pid: 0,
    started_at: at,
    already_running: false,
    image: "/x",
    image_deleted: false,
    command_line: "x",
    current_directory: "/",
    user: "u",
    parent_image: "/x",
    parent_command_line: "x",
    parent_user: "u",
    parent_listens: [],
    ancestors: [],
  };
}

function batching({ complete = 100, observed = 1, backlog = 0, full = (): void => undefined } = {}) {
  const drops = new DropCounts();
  const events = new Events(drops, full);
  const batches: TelemetryBatch[] = [];
  const spool = { addTelemetry: (b: TelemetryBatch) => batches.push(b), waitingBatches: backlog } as unknown as Spool;
  const batcher = new Batcher({
    events,
    drops,
    spool,
    heading: { host_id: "h", host_name: "h", agent_version: "0", incarnation: 7, tags: {} },
    completeThrough: () => complete,
    observedFrom: () => observed,
    collectors: () => [],
    now: () => 1_000,
  });
  return { drops, events, batcher, batches };
}

it("sends a batch without events, to say that all is well", () => {
  const { batcher, batches } = batching();
  batcher.flush();
  batcher.flush();
  expect(batches.map((b) => [b.seq, b.complete_through, b.listeners.length])).toEqual([
    [1, 100, 0],
    [2, 100, 0],
  ]);
});

it("sends none of those behind a backlog", () => {
  const { batcher, batches, events } = batching({ backlog: 5 });
  batcher.flush();
  expect(batches).toEqual([]);
  events.tellListener(listener(1));
  batcher.flush();
  expect(batches).toHaveLength(1);
});

it("cuts many events into batches, each complete as far as those that follow begin", () => {
  const { batcher, batches, events } = batching({ complete: 5_000 });
  for (let at = 1; at <= 2_500; at++) events.tellListener(listener(at));
  batcher.flush();
  expect(batches.map((b) => [b.seq, b.listeners.length, b.complete_through])).toEqual([
    [1, 1_000, 1_001],
    [2, 1_000, 2_001],
    [3, 500, 5_000],
  ]);
});

it("cuts large events by their size", () => {
  const { batcher, batches, events } = batching();
  for (let i = 0; i < 200; i++) events.tellListener(listener(1, "x".repeat(8_000)));
  batcher.flush();
  expect(batches.length).toBeGreaterThanOrEqual(3);
  expect(batches.reduce((sum, b) => sum + b.listeners.length, 0)).toBe(200);
});

it("asks to be flushed when a batch is full", () => {
  let asked = 0;
  const { events } = batching({
    full: () => {
      asked++;
    },
  });
  for (let i = 0; i < 499; i++) events.tellListener(listener(i));
  expect(asked).toBe(0);
  events.tellListener(listener(499));
  expect(asked).toBe(1);
});

it("counts what doesn't fit, and tells it with the next batch", () => {
  const { batcher, batches, events } = batching();
  for (let i = 0; i < 20_007; i++) events.tellListener(listener(i));
  batcher.flush();
  expect(batches[0]?.drops).toEqual([{ kind: "listeners", reason: "waiting_events_max", count: 7 }]);
  expect(batches[1]?.drops).toEqual([]);
});

it("is never complete through a time before it observes, nor less than it was", () => {
  const { batcher, batches } = batching({ complete: 50, observed: 80 });
  batcher.flush();
  expect(batches[0]).toMatchObject({ observed_from: 80, complete_through: 80 });
});

describe("waits between attempts", () => {
  const limits = { first_ms: 100, max_ms: 1_000 };
  it("double up to the limit", () => {
    expect([1, 2, 3, 4, 5, 50].map((n) => backoff_ms(n, limits, 0.999_999))).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });
  it("spread over the upper half", () => {
    expect(backoff_ms(3, limits, 0)).toBe(200);
    expect(backoff_ms(3, limits, 0.5)).toBe(300);
  });
});

it("has a clock that follows the host's forward and never goes back", () => {
  let wall = 1_000_000;
  let monotonic = 0;
  const now = createClock(
    () => wall,
    () => monotonic,
  );
  const pass = (ms: number, set_ms = 0) => {
    monotonic += ms;
    wall += ms + set_ms;
    return now();
  };
  expect(pass(10)).toBe(1_000_010);
  expect(pass(10, 3_600_000)).toBe(4_600_020);
  expect(pass(10, -3_600_000)).toBe(4_600_030);
  expect(pass(10)).toBe(4_600_040);
});

it("counts what a parent listens on into a batch's size", () => {
  const { batcher, batches, events } = batching();
  const parent_listens = Array.from({ length: 1_024 }, (_, i) => 60_000 + i);
  for (let i = 0; i < 400; i++) events.tellProcess({ ...process(i + 1), parent_listens });
  batcher.flush();
  expect(batches.length).toBeGreaterThan(1);
  for (const batch of batches) expect(codec.encode("TelemetryBatch", batch).length).toBeLessThan(1024 * 1024);
});
