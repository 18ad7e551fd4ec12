import { type AuditInput, account } from "@assay/cli/audit/account";
import type { StoredPart } from "@assay/cli/audit/part";
import { addRecord, emptyRecount, noCounts, type TelemetryRecord } from "@assay/cli/audit/recount";
import { auditTable } from "@assay/cli/audit/table";
import type { TelemetryBatch } from "@assay/schemas/generated/types";
import { golden } from "./golden";

const window_ms = 10_000;
const lateness_ms = 2_000;
/** A window's edge. */
const t0 = 1_760_000_000_000;

interface Sent {
  readonly seq: number;
  readonly incarnation?: number;
  /** Event times of processes, after t0. */
  readonly at?: readonly number[];
  /** After t0. */
  readonly through: number;
  /** By how much the agent's clock is behind. */
  readonly behind?: number;
}

/** A record per batch sent, in the order of the topic; received when its agent told that it was complete. */
function topic(sent: readonly Sent[], first_offset = 0): TelemetryRecord[] {
  return sent.map(({ seq, incarnation = 1, at = [], through, behind = 0 }, i) => ({
    kind: "batch",
    partition: 0,
    offset: first_offset + i,
    timestamp: t0 + through,
    batch: {
      host_id: "h1",
      host_name: "one",
      incarnation,
      seq,
      sent_at: t0 + through - behind,
      observed_from: t0 - behind,
      complete_through: t0 + through - behind,
      processes: at.map((ms) => ({ at: t0 + ms - behind })),
      connections: [],
      listeners: [],
      drops: [],
    } as unknown as TelemetryBatch,
  }));
}

function part(
  window: number,
  seq_from: number,
  seq_to: number,
  windowed: number,
  more: Partial<StoredPart> & { repeats?: number } = {},
): StoredPart {
  const { repeats = 0, ...rest } = more;
  return {
    host_id: "h1",
    window_start: t0 + window * window_ms,
    incarnation: 1,
    seq_from,
    seq_to,
    closed_by: "complete",
    received_through: t0 + (window + 1) * window_ms,
    windowed: { ...noCounts(), processes: windowed },
    folded: noCounts(),
    duplicates: { ...noCounts(), processes: repeats },
    ...rest,
  };
}

function audit(
  records: readonly TelemetryRecord[],
  stored: readonly StoredPart[],
  more: Partial<AuditInput> & { earliest?: number; kept_from?: number } = {},
) {
  const { earliest = 0, kept_from = t0, ...rest } = more;
  const recount = emptyRecount(window_ms);
  const dead = rest.dead_letters ?? new Set();
  for (const record of records) addRecord(recount, record, dead.has(`${record.partition}:${record.offset}`));
  const correlated_to = Math.max(-1, ...records.map((r) => r.offset)) + 1;
  const result = account({
    recount,
    lateness_ms,
    partitions: new Map([[0, { earliest, kept_from, correlated_to }]]),
    partitionOf: () => 0,
    dead_letters: new Set(),
    stored,
    unevaluated: [],
    ...rest,
  });
  return { ...result, processes: result.rows.find((r) => r.kind === "processes") };
}

/** Two windows, the second still open: 3 events in the first, 1 in the second. */
const steady: readonly Sent[] = [
  { seq: 1, at: [1_000, 2_000], through: 5_000 },
  { seq: 2, at: [7_000, 11_000], through: 12_500 },
];

test("adds up where each closed window stands in the store and the open one is pending", () => {
  const { processes, problems } = audit(topic(steady), [part(0, 1, 2, 3)]);
  expect(problems).toEqual([]);
  expect(processes).toMatchObject({ accepted: 4, windowed: 3, duplicates: 0, pending: 1, difference: 0 });
});

test("a closed window that is not in the store is missing, not pending", () => {
  const { processes, problems } = audit(topic(steady), []);
  expect(processes).toMatchObject({ accepted: 4, windowed: 0, pending: 1, difference: 3 });
  expect(problems).toContain(`host h1, window ${new Date(t0).toISOString()}, processes: 3 events accepted, the store has 0`);
});

test("a closed window is pending as long as the correlator has not committed the batch that closes it", () => {
  const { processes, problems } = audit(topic(steady), [], {
    partitions: new Map([[0, { earliest: 0, kept_from: t0, correlated_to: 1 }]]),
  });
  expect(problems).toEqual([]);
  expect(processes).toMatchObject({ accepted: 4, pending: 4, difference: 0 });
});

test("a part that waits for the evaluator is pending", () => {
  const { processes, problems } = audit(topic(steady), [], { unevaluated: [part(0, 1, 2, 3)] });
  expect(problems).toEqual([]);
  expect(processes).toMatchObject({ pending: 4, difference: 0 });
});

test("a part that was written twice is noticed", () => {
  const { processes, problems } = audit(topic(steady), [part(0, 1, 2, 3), part(0, 1, 2, 3)]);
  expect(processes?.difference).toBe(-3);
  expect(problems).toContain("host h1, processes: 3 events more in the store than were accepted");
});

test("an event that the store lacks is noticed though the totals of two windows even out", () => {
  const records = topic([...steady, { seq: 3, through: 25_000 }]);
  const { processes, problems } = audit(records, [part(0, 1, 2, 2), part(1, 2, 3, 2)]);
  expect(processes?.difference).toBe(0);
  expect(problems).toHaveLength(2);
});

describe("a batch that was replayed after later ones", () => {
  const later: readonly Sent[] = [
    { seq: 1, at: [1_000], through: 5_000 },
    { seq: 3, at: [21_000], through: 22_500 },
    { seq: 2, at: [7_000, 8_000], through: 9_000 },
  ];

  test("is pending until its host's next batch, and due with that as a supplement", () => {
    const waiting = audit(topic(later), [part(0, 1, 3, 1)]);
    expect(waiting.problems).toEqual([]);
    expect(waiting.processes).toMatchObject({ accepted: 4, windowed: 1, pending: 3, difference: 0 });
    const next = topic([...later, { seq: 4, through: 23_000 }]);
    expect(audit(next, [part(0, 1, 3, 1)]).processes).toMatchObject({ pending: 1, difference: 2 });
    const supplement = part(0, 4, 4, 2, { closed_by: "supplement" });
    const told = audit(next, [part(0, 1, 3, 1), supplement]);
    expect(told.problems).toEqual([]);
    expect(told.processes).toMatchObject({ accepted: 4, windowed: 3, pending: 1, difference: 0 });
  });

  test("counts once however often it is replayed, and as dead-lettered where it was", () => {
    const again = topic([...later, later[2] as Sent, { seq: 4, through: 23_000 }]);
    const supplement = part(0, 4, 4, 2, { closed_by: "supplement", repeats: 2 });
    const { processes, problems } = audit(again, [part(0, 1, 3, 1), supplement]);
    expect(problems).toEqual([]);
    expect(processes).toMatchObject({ accepted: 6, windowed: 3, duplicates: 2, pending: 1, difference: 0 });
    // The first time it was no use; the replay of that one is the first that counts.
    const dead = audit(
      topic([
        ...(later.slice(0, 1) as Sent[]),
        later[2] as Sent,
        later[1] as Sent,
        later[2] as Sent,
        { seq: 4, through: 23_000 },
      ]),
      [part(0, 1, 3, 1), part(0, 4, 4, 2, { closed_by: "supplement" })],
      { dead_letters: new Set(["0:1"]) },
    );
    expect(dead.problems).toEqual([]);
    expect(dead.processes).toMatchObject({ accepted: 6, dead_lettered: 2, windowed: 3, pending: 1, difference: 0 });
    const waiting = audit(
      topic([...(later.slice(0, 1) as Sent[]), later[2] as Sent, later[1] as Sent, later[2] as Sent]),
      [part(0, 1, 3, 1)],
      { dead_letters: new Set(["0:1"]) },
    );
    expect(waiting.problems).toEqual([]);
    expect(waiting.processes).toMatchObject({ accepted: 6, dead_lettered: 2, windowed: 1, pending: 3, difference: 0 });
  });
});

test("a repeated batch counts as duplicates once a later part has told it, and as pending before", () => {
  const repeated = topic([steady[0] as Sent, steady[0] as Sent, steady[1] as Sent]);
  const told = audit(repeated, [part(0, 1, 2, 3, { repeats: 2 })]);
  expect(told.problems).toEqual([]);
  expect(told.processes).toMatchObject({ accepted: 6, windowed: 3, duplicates: 2, pending: 1, difference: 0 });
  const after = audit(topic([...steady, steady[1] as Sent]), [part(0, 1, 2, 3)]);
  expect(after.problems).toEqual([]);
  expect(after.processes).toMatchObject({ accepted: 6, duplicates: 0, pending: 3, difference: 0 });
});

test("a fresh batch that the correlator took for a repeat is noticed though the sum is even", () => {
  const { processes, problems } = audit(topic(steady), [part(0, 1, 2, 1, { repeats: 2 })]);
  expect(processes?.difference).toBe(0);
  expect(problems).toContain("host h1, processes: 0 events of repeated batches are in the topic, the store says 2");
});

test("supplements add to their window", () => {
  const records = topic([...steady, { seq: 3, at: [3_000], through: 13_000 }]);
  const supplement = part(0, 3, 3, 1, { closed_by: "supplement" });
  expect(audit(records, [part(0, 1, 2, 3), supplement]).problems).toEqual([]);
  expect(audit(records, [part(0, 1, 2, 3)]).processes?.difference).toBe(1);
});

test("silence closes a window as completeness does", () => {
  const batches = topic(steady.slice(0, 1));
  const silent: TelemetryRecord = {
    kind: "silent",
    partition: 0,
    offset: 1,
    timestamp: t0 + 70_000,
    host_id: "h1",
    incarnation: 1,
    seq: 1,
  };
  expect(audit([...batches, silent], [part(0, 1, 1, 2, { closed_by: "silent" })]).problems).toEqual([]);
  expect(audit([...batches, silent], []).processes?.difference).toBe(2);
  expect(audit(batches, []).processes?.pending).toBe(2);
});

test("a silence that a later batch has overtaken closes nothing", () => {
  const silent: TelemetryRecord = {
    kind: "silent",
    partition: 0,
    offset: 2,
    timestamp: t0 + 70_000,
    host_id: "h1",
    incarnation: 1,
    seq: 1,
  };
  const { processes } = audit([...topic(steady), silent], [part(0, 1, 2, 3)]);
  expect(processes).toMatchObject({ pending: 1, difference: 0 });
});

test("a clock that is an hour behind is corrected before windows are cut", () => {
  const behind = steady.map((sent) => ({ ...sent, behind: 3_600_000 }));
  expect(audit(topic(behind), [part(0, 1, 2, 3)]).problems).toEqual([]);
});

test("a telemetry record in the dead letters is dead-lettered, and one that can't be decoded and isn't there is missing", () => {
  const records = topic(steady);
  const { processes, problems } = audit(records, [part(0, 1, 1, 2)], { dead_letters: new Set(["0:1"]) });
  expect(problems).toEqual([]);
  expect(processes).toMatchObject({ accepted: 4, windowed: 2, dead_lettered: 2, difference: 0 });
  const unreadable: TelemetryRecord = { kind: "unreadable", partition: 0, offset: 2, timestamp: t0 };
  expect(audit([...records, unreadable], [part(0, 1, 2, 3)]).problems).toEqual([
    "host (unknown), unreadable: 1 accepted events are nowhere",
  ]);
  expect(audit([...records, unreadable], [part(0, 1, 2, 3)], { dead_letters: new Set(["0:2"]) }).problems).toEqual([]);
});

test("windows in which expired batches have a share are left out on both sides", () => {
  const sent: readonly Sent[] = [
    { seq: 1, at: [1_000], through: 5_000 },
    { seq: 2, at: [6_000, 12_000], through: 13_000 },
    { seq: 3, at: [15_000, 21_000], through: 23_000 },
    { seq: 4, at: [25_000, 31_000], through: 33_000 },
  ];
  const stored = [part(0, 1, 2, 2), part(1, 2, 3, 2), part(2, 3, 4, 2)];
  expect(audit(topic(sent), stored).problems).toEqual([]);
  const kept = audit(topic(sent.slice(1), 1), stored, { earliest: 1 });
  expect(kept.problems).toEqual([]);
  expect(kept.windows_left_out).toBe(2);
  expect(kept.processes).toMatchObject({ accepted: 3, windowed: 2, pending: 1, difference: 0 });
});

const minute_ms = 60_000;

test("the store may not know a host that the topic never had, or whose telemetry the topic should keep", () => {
  const lost = [
    expect.stringMatching(/^host h1: the store has a part of a window of telemetry accepted from .* which the topic should keep/),
  ];
  expect(audit([], [part(0, 1, 1, 1)]).problems).toEqual(lost);
  const received = (after_ms: number) => [part(0, 1, 1, 1, { received_through: t0 + after_ms })];
  const { problems, windows_left_out } = audit([], received(0), { earliest: 9 });
  expect([problems, windows_left_out]).toEqual([[], 1]);
  expect(audit([], received(10 * minute_ms), { earliest: 9 }).problems).toEqual(lost);
  // Its own partition says so, whatever others have dropped.
  const partitions = new Map([0, 1].map((p) => [p, { earliest: p === 0 ? 9 : 0, kept_from: t0, correlated_to: 9 }]));
  expect(audit([], received(0), { partitions, partitionOf: () => 1 }).problems).toEqual(lost);
});

test("batches in the midst of what the topic keeps are missed, and those before it aren't", () => {
  const sent = (seq: number, minute: number): Sent => ({ seq, at: [minute * minute_ms], through: minute * minute_ms + 1_000 });
  const records = topic([sent(30, 30), sent(31, 31)], 40);
  const stored = (seq: number) => part(seq * 6, seq, seq, 1, { received_through: t0 + seq * minute_ms });
  const all = [stored(1), stored(12), stored(20), stored(30)];
  expect(audit(records, all, { earliest: 40, kept_from: t0 + 29 * minute_ms }).problems).toEqual([]);
  expect(audit(records, all, { earliest: 1, kept_from: t0 }).problems).toEqual([
    expect.stringMatching(/^host h1: the store has 2 parts of windows of telemetry/),
  ]);
});

test("the table says what does not add up", () => {
  const report = (records: readonly TelemetryRecord[], stored: readonly StoredPart[]) =>
    auditTable({
      ...audit(records, stored),
      audited_at: "",
      telemetry_from: null,
      partitions_cut: { cut: 0, of: 4 },
      refused: { malformed_body: 2 },
      replayed: { unknown_schema: 1 },
      strangers: [],
    });
  golden("audit-even.txt", report(topic(steady), [part(0, 1, 2, 3)]));
  golden("audit-uneven.txt", report(topic(steady), [part(0, 1, 2, 2)]));
});
