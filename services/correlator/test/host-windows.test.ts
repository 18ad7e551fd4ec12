import type { HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import { decodeTimes, times_max } from "../src/host-windows/event-times";
import { tellSilence } from "../src/host-windows/silence";
import { batch, codec, connectionEvent, listenerEvent, Partition, processEvent, windowed } from "./given";

const settings = { window_ms: 10_000, lateness_ms: 2_000 };
const spans = (parts: HostWindow[]) => parts.map((p) => [p.window_start, p.closed_by, windowed(p)]);

test("a window closes when its own host has told everything through its end plus the lateness", () => {
  const partition = new Partition(settings);
  expect(partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 11_999, sent_at: 12_000 }))).toEqual(
    [],
  );
  const parts = partition.tell(batch({ seq: 2, complete_through: 12_000, sent_at: 12_001 }));
  expect(spans(parts)).toEqual([[0, "complete", 1]]);
});

test("what other hosts do doesn't close a host's window", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 2_000, sent_at: 2_000 }));
  const parts = partition.tell(batch({ host_id: "h2", seq: 1, complete_through: 50_000, sent_at: 50_000 }));
  expect(parts.map((p) => p.host_id)).toEqual(["h2", "h2", "h2", "h2"]);
});

test("an event for a window that has closed becomes a supplement, at once", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 12_000, sent_at: 12_000 }));
  const parts = partition.tell(batch({ seq: 2, processes: [processEvent(9_000)], complete_through: 13_000, sent_at: 13_000 }));
  expect(spans(parts)).toEqual([[0, "supplement", 1]]);
  expect(parts[0]).toMatchObject({ seq_from: 2, seq_to: 2, covered_from: 0, covered_to: 0 });
});

// Kafka Streams' documented example of windows with grace: size 2, grace 1, times 0 1 2 1 0 5 0.
test("keeps the counts of the published example of final window results, its late record as a supplement", () => {
  const partition = new Partition({ window_ms: 2, lateness_ms: 1 });
  let stream_time = 0;
  const parts = [0, 1, 2, 1, 0, 5, 0].flatMap((at, i) => {
    stream_time = Math.max(stream_time, at);
    return partition.tell(batch({ seq: i + 1, processes: [processEvent(at)], complete_through: stream_time, sent_at: 10 }));
  });
  expect(spans(parts)).toEqual([
    [0, "complete", 4],
    [2, "complete", 1],
    [0, "supplement", 1],
  ]);
});

test("a repeated batch counts as duplicates, told with the host's next part", () => {
  const partition = new Partition(settings);
  const first = batch({ seq: 1, processes: [processEvent(1_000), processEvent(2_000)], complete_through: 5_000, sent_at: 5_000 });
  partition.tell(first);
  expect(partition.tell(first)).toEqual([]);
  const [part] = partition.tell(batch({ seq: 2, complete_through: 12_000, sent_at: 12_000 }));
  expect(part?.counts.find((c) => c.kind === "processes")).toEqual({
    kind: "processes",
    windowed: 2,
    folded: 1,
    cut: 0,
    duplicates: 2,
  });
});

test("a new incarnation starts over at 1, and a repeat of an older one is a duplicate", () => {
  const partition = new Partition(settings);
  const old = batch({ incarnation: 5, seq: 9, processes: [processEvent(2_500)], complete_through: 3_000, sent_at: 3_000 });
  partition.tell(old);
  partition.tell(
    batch({
      incarnation: 6,
      seq: 1,
      observed_from: 4_000,
      processes: [processEvent(4_500)],
      complete_through: 5_000,
      sent_at: 5_000,
    }),
  );
  partition.tell(old);
  const [part] = partition.tell(
    batch({ incarnation: 6, seq: 2, observed_from: 4_000, complete_through: 12_000, sent_at: 12_000 }),
  );
  expect(part).toMatchObject({ incarnation: 6, seq_from: 0, seq_to: 2 });
  expect(part?.counts.find((c) => c.kind === "processes")).toMatchObject({ windowed: 2, duplicates: 1 });
});

describe("a batch that comes after later ones, and has not been seen", () => {
  const at = (seq: number, through: number, times: readonly number[] = []) =>
    batch({ seq, complete_through: through, sent_at: through, processes: times.map((time) => processEvent(time)) });

  test("counts with the host's next batch, as a supplement of the window that has closed", () => {
    const partition = new Partition(settings);
    partition.tell(at(1, 3_000, [2_000]));
    partition.tell(at(3, 22_000, [21_000]));
    expect(partition.windows()).toHaveLength(1);
    expect(partition.tell(at(2, 6_000, [5_000, 5_100]), 6_000)).toEqual([]);
    partition.restart();
    const parts = partition.tell(at(4, 23_000));
    expect(parts).toMatchObject([{ window_start: 0, closed_by: "supplement", seq_from: 4, seq_to: 4 }]);
    expect(parts[0]?.counts.find((c) => c.kind === "processes")).toMatchObject({ windowed: 2, duplicates: 0 });
  });

  test("goes into its window where that is still open", () => {
    const partition = new Partition(settings);
    partition.tell(at(1, 1_000, [500]));
    partition.tell(at(3, 5_000));
    partition.tell(at(2, 3_000, [2_500]), 3_000);
    const [part, ...others] = partition.tell(at(4, 12_000));
    expect(others).toEqual([]);
    expect(part).toMatchObject({ window_start: 0, closed_by: "complete" });
    expect(part?.counts.find((c) => c.kind === "processes")).toMatchObject({ windowed: 2, duplicates: 0 });
  });

  test("counts once: its own repeat is a duplicate", () => {
    const partition = new Partition(settings);
    partition.tell(at(1, 3_000));
    partition.tell(at(4, 22_000));
    for (const seq of [2, 3, 2, 3]) partition.tell(at(seq, 6_000, [5_000]), 6_000);
    const parts = partition.tell(at(5, 23_000));
    expect(parts).toHaveLength(1);
    expect(parts[0]?.counts.find((c) => c.kind === "processes")).toMatchObject({ windowed: 2, duplicates: 2 });
  });

  test("past what may wait for a host it is a dead letter again, and may come once more", () => {
    const partition = new Partition(settings);
    partition.tell(at(1, 3_000));
    partition.tell(at(4, 22_000));
    const large = (seq: number) => ({
      ...at(seq, 6_000),
      processes: [processEvent(5_000, { command_line: "x".repeat(2 * 1024 * 1024) })],
    });
    partition.tell(large(2), 6_000);
    partition.tell(large(3), 6_000);
    const letters = () => partition.outputs.filter(({ topic }) => topic === topics.deadLetters.name);
    expect(letters()).toHaveLength(1);
    partition.tell(at(5, 23_000));
    partition.tell(large(3), 6_000);
    expect(letters()).toHaveLength(1);
    expect(partition.tell(at(6, 24_000))).toMatchObject([{ closed_by: "supplement", seq_to: 6 }]);
  });
});

test("a quiet window that the agent watched is told, an unwatched one isn't", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, observed_from: 3_000, complete_through: 12_000, sent_at: 12_000 }));
  const parts = partition.tell(
    batch({ incarnation: 2, seq: 1, observed_from: 50_000, complete_through: 62_000, sent_at: 62_000 }),
  );
  const all = [...partition.windows()];
  expect(all.map((p) => [p.window_start, p.covered_from, p.covered_to])).toEqual([
    [0, 3_000, 10_000],
    [10_000, 10_000, 12_000],
    [50_000, 50_000, 60_000],
  ]);
  expect(parts).toHaveLength(2);
});

test("what batches told that never came isn't taken for watched, also by the batches that follow", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, complete_through: 12_000, sent_at: 12_000 }));
  partition.tell(batch({ seq: 40, complete_through: 45_000, sent_at: 45_000 }));
  partition.tell(batch({ seq: 41, complete_through: 62_000, sent_at: 62_000 }));
  expect(partition.windows().map((p) => [p.window_start, p.covered_from, p.covered_to])).toEqual([
    [0, 0, 10_000],
    [10_000, 10_000, 12_000],
    [40_000, 45_000, 50_000],
    [50_000, 50_000, 60_000],
  ]);
});

test("an agent that the log meets in the middle of its run has been watching only since then", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 500, observed_from: 0, complete_through: 45_000, sent_at: 45_000 }));
  const [part] = partition.tell(batch({ seq: 501, observed_from: 0, complete_through: 52_000, sent_at: 52_000 }));
  expect(part).toMatchObject({ window_start: 40_000, covered_from: 45_000, covered_to: 50_000 });
  expect(partition.windows()).toHaveLength(1);
});

test("a drop is counted once, and every window that it may be of shows that it isn't whole", () => {
  const partition = new Partition(settings);
  const collectors = ["processes", "listeners"].map((collector) => ({
    collector,
    status: "ok" as const,
    reason: "",
    missing_fields: [],
  }));
  partition.tell(batch({ seq: 1, complete_through: 8_000, sent_at: 8_000, collectors }));
  const drops = [{ kind: "processes", reason: "queue_full", count: 3 }];
  partition.tell(batch({ seq: 2, complete_through: 11_000, sent_at: 11_000, collectors, drops }));
  partition.tell(batch({ seq: 3, complete_through: 32_000, sent_at: 32_000, collectors }));
  const parts = partition.windows();
  expect(parts.flatMap((p) => p.drops)).toEqual(drops);
  const statusIn = (part: HostWindow) => part.collectors.map((c) => [c.collector, c.status]);
  expect(parts.map(statusIn)).toEqual([
    [
      ["processes", "partial"],
      ["listeners", "ok"],
    ],
    [
      ["processes", "partial"],
      ["listeners", "ok"],
    ],
    [
      ["processes", "ok"],
      ["listeners", "ok"],
    ],
  ]);
});

test.each([
  ["an hour ahead", 3_600_000],
  ["an hour behind", -3_600_000],
])("corrects a clock that is %s, and says by how much", (_, ahead) => {
  const partition = new Partition(settings);
  const t = (at: number) => 10_000_000 + at + ahead;
  partition.tell(
    batch({ seq: 1, processes: [processEvent(t(1_000))], observed_from: t(0), complete_through: t(2_000), sent_at: t(2_000) }),
    10_002_000,
  );
  const [part] = partition.tell(
    batch({ seq: 2, observed_from: t(0), complete_through: t(12_000), sent_at: t(12_000) }),
    10_012_040,
  );
  expect(part).toMatchObject({ window_start: 10_000_000, clock_offset_ms: -ahead });
  expect(part?.processes[0]?.times.first).toBe(10_001_000);
});

test("a clock within five seconds is taken as it is", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 12_000, sent_at: 12_000 }), 16_900);
  expect(partition.windows()[0]).toMatchObject({ window_start: 0, clock_offset_ms: 0 });
});

test("an agent that claims completeness in the future can't close windows that have yet to happen", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 9_000_000, sent_at: 3_000 }));
  expect(partition.windows()).toEqual([]);
  expect(spans(partition.tell(batch({ seq: 2, complete_through: 12_000, sent_at: 12_000 })))).toEqual([[0, "complete", 1]]);
});

test("silence closes what is open, once, and only when no batch came after it was told", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 2_000, sent_at: 2_000 }));
  const silent = (seq: number) =>
    partition.feed({
      key: "h1",
      timestamp: 70_000,
      value: codec.encode("HostSilent", {
        host_id: "h1",
        incarnation: 1,
        seq,
        silent_since: 2_000,
        at: 70_000,
        timeout_ms: 60_000,
      }),
    });
  expect(silent(0)).toEqual([]);
  expect(spans(silent(1))).toEqual([[0, "silent", 1]]);
  expect(silent(1)).toEqual([]);
  const spool = partition.tell(
    batch({ seq: 2, processes: [processEvent(3_000), processEvent(11_000)], complete_through: 22_000, sent_at: 80_000 }),
    80_000,
  );
  expect(spans(spool)).toEqual([
    [0, "supplement", 1],
    [10_000, "complete", 1],
  ]);
});

test("a host that was cut off and then delivers all that it watched has no gap in coverage", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, complete_through: 13_000, sent_at: 13_000 }));
  const value = codec.encode("HostSilent", {
    host_id: "h1",
    incarnation: 1,
    seq: 1,
    silent_since: 13_000,
    at: 80_000,
    timeout_ms: 60_000,
  });
  partition.feed({ key: "h1", timestamp: 80_000, value });
  partition.tell(batch({ seq: 2, complete_through: 16_000, sent_at: 90_000 }));
  partition.tell(batch({ seq: 3, processes: [processEvent(18_000)], complete_through: 25_000, sent_at: 90_100 }));
  partition.tell(batch({ seq: 4, complete_through: 32_000, sent_at: 90_200 }));
  const covered = partition.windows().map((p) => [p.closed_by, p.window_start, p.covered_from, p.covered_to, windowed(p)]);
  expect(covered).toEqual([
    ["complete", 0, 0, 10_000, 0],
    ["silent", 10_000, 10_000, 13_000, 0],
    ["supplement", 10_000, 13_000, 16_000, 0],
    ["supplement", 10_000, 16_000, 20_000, 1],
    ["complete", 20_000, 20_000, 30_000, 0],
  ]);
});

test("a host isn't silent for the time in which nobody was there to hear it", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, complete_through: 2_000, sent_at: 2_000 }));
  partition.restart();
  const told = (now: number) => tellSilence(partition.state, now, 60_000, codec).length;
  expect([told(600_000), told(660_000), told(660_001), told(700_000)]).toEqual([0, 0, 1, 0]);
});

test("parts leave with growing (incarnation, seq_to, window_start)", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, processes: [processEvent(1_000)], complete_through: 35_000, sent_at: 35_000 }));
  partition.tell(
    batch({ seq: 2, processes: [processEvent(25_000), processEvent(500)], complete_through: 62_000, sent_at: 62_000 }),
  );
  partition.tell(
    batch({
      incarnation: 2,
      seq: 1,
      observed_from: 62_000,
      processes: [processEvent(700)],
      complete_through: 82_000,
      sent_at: 82_000,
    }),
  );
  const marks = partition.windows().map((p) => [p.incarnation, p.seq_to, p.window_start] as const);
  const sorted = [...marks].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  expect(marks).toEqual(sorted);
  expect(new Set(marks.map(String)).size).toBe(marks.length);
});

test("equal activity folds into one observation that keeps every event time", () => {
  const partition = new Partition(settings);
  const times = [9_000, 1_000, 1_000, 4_321];
  partition.tell(
    batch({ seq: 1, processes: times.map((t) => processEvent(t, { pid: t })), complete_through: 12_000, sent_at: 12_000 }),
  );
  const [part] = partition.windows();
  expect(part?.processes).toHaveLength(1);
  expect(part?.processes[0]?.times).toMatchObject({ count: 4, first: 1_000, last: 9_000 });
  expect(part && decodeTimes(part.processes[0]?.times as never, 0)).toEqual([1_000, 1_000, 4_321, 9_000]);
});

test("a window that is larger than a record of the log is cut to fit, and what is cut is counted", () => {
  const partition = new Partition(settings);
  const processes = Array.from({ length: 2_000 }, (_, n) => processEvent(n, { command_line: `cc ${n} ${"x".repeat(1_000)}` }));
  processes.push(...processes.map((event) => ({ ...event, at: event.at + 5_000 })));
  const connections = [connectionEvent(1_000), connectionEvent(2_000)];
  partition.tell(batch({ seq: 1, processes, connections, complete_through: 9_000, sent_at: 9_000 }));
  partition.tell(batch({ seq: 2, complete_through: 12_000, sent_at: 12_000 }));
  for (const output of partition.outputs) expect(output.value?.length).toBeLessThan(1_048_576);
  const [part] = partition.windows();
  const kept = part?.processes.length ?? 0;
  expect(kept).toBeGreaterThan(600);
  expect(part?.connections).toHaveLength(1);
  expect(part?.counts.slice(0, 2)).toEqual([
    { kind: "processes", windowed: 4_000, folded: kept, cut: 2 * (2_000 - kept), duplicates: 0 },
    { kind: "connections", windowed: 2, folded: 1, cut: 0, duplicates: 0 },
  ]);
});

test("many event times are counted per second where they alone make a window too large", () => {
  const partition = new Partition(settings);
  for (let seq = 1; seq <= 100; seq++) {
    const users = Array.from({ length: 200 }, (_, n) => `u${n}`);
    const processes = users.flatMap((user) => Array.from({ length: 40 }, (_, n) => processEvent(n * 240 + seq, { user })));
    partition.tell(batch({ seq, processes, complete_through: 1_000, sent_at: 9_000 }));
  }
  const [part] = partition.tell(batch({ seq: 101, complete_through: 12_000, sent_at: 12_000 }));
  expect(part?.counts[0]).toEqual({ kind: "processes", windowed: 800_000, folded: 799_800, cut: 0, duplicates: 0 });
  expect(part?.processes[0]?.times).toMatchObject({ count: 4_000, deltas: Buffer.alloc(0) });
});

test("a dead letter of a record as large as the log takes is one that it takes too", () => {
  const partition = new Partition(settings);
  partition.feed({ key: "h1", value: Buffer.alloc(1_048_000, 1), timestamp: 1 });
  const letter = codec.decode(partition.outputs[0]?.value ?? Buffer.alloc(0));
  expect(letter).toMatchObject({ name: "DeadLetter", value: { detail: expect.stringContaining("of 1048000 bytes are kept") } });
  expect(partition.outputs[0]?.value?.length).toBeLessThan(600_000);
});

test("past the limit on event times it counts per second", () => {
  const partition = new Partition(settings);
  const events = Array.from({ length: times_max + 10 }, (_, i) => processEvent(i % 10_000));
  partition.tell(batch({ seq: 1, processes: events, complete_through: 12_000, sent_at: 12_000 }));
  const times = partition.windows()[0]?.processes[0]?.times;
  expect(times?.count).toBe(times_max + 10);
  expect(times?.deltas).toHaveLength(0);
  expect(times?.per_second).toEqual([1000, 1000, 1000, 1000, 106]);
});

test("connections fold over the source port; one told again counts once, a port used again is another one", () => {
  const partition = new Partition(settings);
  const connections = [
    connectionEvent(1_000, { source_port: 40_001 }),
    connectionEvent(1_100, { source_port: 40_002 }),
    connectionEvent(3_000, { source_port: 40_002, opened_at: 1_100 }),
    connectionEvent(4_000, { source_port: 40_002 }),
  ];
  partition.tell(batch({ seq: 1, connections, complete_through: 12_000, sent_at: 12_000 }));
  expect(partition.windows()[0]?.connections).toMatchObject([{ connections: 3, times: { count: 4 } }]);
});

test("events whose fields differ only in where one ends and the next begins don't fold", () => {
  const partition = new Partition(settings);
  const processes = [
    processEvent(1_000, { user: "ab", parent_image: "c" }),
    processEvent(1_001, { user: "a", parent_image: "bc" }),
    processEvent(1_002, { ancestors: ["a", "b"] }),
    processEvent(1_003, { ancestors: ["ab"] }),
  ];
  partition.tell(batch({ seq: 1, processes, complete_through: 12_000, sent_at: 12_000 }));
  expect(partition.windows()[0]?.processes).toHaveLength(4);
});

test("a listener tells since when it has been seen, and when it was last used", () => {
  const partition = new Partition(settings);
  const used = connectionEvent(3_000, { side: "destination" });
  partition.tell(
    batch({
      seq: 1,
      listeners: [listenerEvent(1_000), listenerEvent(1_000, { port: 22 })],
      connections: [used],
      complete_through: 12_000,
      sent_at: 12_000,
    }),
  );
  partition.tell(
    batch({
      seq: 2,
      listeners: [listenerEvent(11_000), listenerEvent(11_000, { port: 22 })],
      complete_through: 22_000,
      sent_at: 22_000,
    }),
  );
  const [, second] = partition.windows();
  expect(second?.listeners.map((l) => [l.port, l.observed_since, l.last_used_at])).toEqual([
    [5432, 1_000, 3_000],
    [22, 1_000, 0],
  ]);
});

test("a gap in coverage ends a listener's observation", () => {
  const partition = new Partition(settings);
  partition.tell(batch({ seq: 1, listeners: [listenerEvent(1_000)], complete_through: 12_000, sent_at: 12_000 }));
  partition.tell(
    batch({
      incarnation: 2,
      seq: 1,
      observed_from: 30_000,
      listeners: [listenerEvent(31_000)],
      complete_through: 42_000,
      sent_at: 42_000,
    }),
  );
  const after = partition.windows().find((w) => w.window_start === 30_000);
  expect(after?.listeners[0]?.observed_since).toBe(31_000);
});

test.each([
  ["not in wire format", Buffer.from("hello, this is text"), "not_wire_format"],
  ["of an unknown schema", Buffer.from([0, 0, 0, 99, 99, 1, 2]), "unknown_schema"],
  ["cut off", codec.encode("TelemetryBatch", batch({ seq: 1 })).subarray(0, 12), "malformed_body"],
  ["of another schema", codec.encode("Command", { command_id: "c", at: 1, by: "x", type: "t", body: "{}" }), "unexpected_schema"],
  ["of another host than its key says", codec.encode("TelemetryBatch", batch({ seq: 1, host_id: "h9" })), "wrong_host"],
])("a record %s becomes a dead letter with its bytes, and harms nothing else", (_, value, reason) => {
  const partition = new Partition(settings);
  expect(partition.feed({ key: "h1", value, timestamp: 1 })).toEqual([]);
  const [letter] = partition.outputs;
  const decoded = letter?.value ? codec.decode(letter.value) : undefined;
  expect(letter?.topic).toBe(topics.deadLetters.name);
  expect(decoded).toMatchObject({ name: "DeadLetter", value: { reason, topic: topics.telemetry.name, offset: 0, value } });
  partition.tell(batch({ seq: 1, processes: [processEvent(1)], complete_through: 12_000, sent_at: 12_000 }));
  expect(spans(partition.windows())).toEqual([[0, "complete", 1]]);
});
