import { evaluateHostWindows } from "../src/evaluate-host-windows";
import { findings_max, inactive_after_ms } from "../src/findings";
import type { RuleSet, RuleSets } from "../src/rule-sets";
import {
  codec,
  day,
  eventsOf,
  listener,
  mergedFindings,
  minute,
  process,
  rowsOf,
  Steps,
  second,
  seeded,
  t0,
  window,
} from "./given";
import { inForce, plain, plainEngine, ruleSet } from "./plain-engine";

const shell = plain("shell", { identity: ["User"] }, (f) => f.Image === "/bin/sh");
const cleartext = plain(
  "http",
  { category: "listener", scope: "state", identity: ["Port"], fields: ["Image"] },
  (f) => f.Port === 8000,
);
const unused = plain(
  "unused",
  { category: "listener", scope: "assessment", identity: ["Port"], fields: [] },
  (f) => f.Used === false,
);
const rules = ruleSet("d1", t0, [shell, cleartext, unused]);

const around = {
  sink: { exact: true, write: async () => undefined },
  limits: {
    batch_records_max: 1,
    flush_outputs_max: 1,
    flush_wait_ms: 1,
    checkpoint_wait_ms: 1,
    tick_wait_ms: 1,
    slice_ms: 1,
  },
  prepare: async () => undefined,
};

function given(rule_sets: RuleSets | RuleSet = rules, state_refresh_ms = 0) {
  const sets = "at" in rule_sets ? rule_sets : inForce(rule_sets);
  return new Steps(evaluateHostWindows({ codec, engine: plainEngine, rule_sets: sets, state_refresh_ms }, around));
}

const outcomesOf = (outputs: Parameters<typeof rowsOf>[0], rule_id: string) =>
  rowsOf(outputs, "outcomes")
    .filter((o) => o.rule_id === rule_id)
    .map((o) => [o.outcome, (o.as_of - t0) / second, o.late]);

describe("event rules", () => {
  const sh = (n: number, count = 1) => process(t0 + n * 10 * second + 5, { image: "/bin/sh", user: "www" }, count);

  test("a match opens a finding with its evidence, and counts each event", () => {
    const host = given();
    const outputs = host.apply("HostWindow", window(0, { processes: [sh(0, 3)] }), t0 + 12_000);
    const [finding] = rowsOf(outputs, "findings");
    expect(finding).toMatchObject({
      rule_id: "shell",
      host_id: "host-a",
      host_name: "a.example",
      application_id: "",
      applications: ["shop"],
      identity: { User: "www" },
      status: "active",
      first_seen: t0 + 5,
      last_seen: t0 + 7,
      resolved_at: null,
      occurrences: 3,
      late: 0,
      severity: "medium",
      severity_rank: 2,
      ruleset: "d1",
      version: t0 + 12_000,
    });
    expect(JSON.parse(finding?.evidence ?? "")).toMatchObject({
      kind: "process",
      user: "www",
      pid: 100,
      ancestors: ["bash", "sshd"],
      count: 3,
    });
    expect(rowsOf(outputs, "finding_activity")).toMatchObject([
      { at: t0, until: t0 + 10_000, first: t0 + 5, last: t0 + 7, occurrences: 3 },
    ]);
    expect(eventsOf(outputs)).toEqual(["opened"]);
    expect(outcomesOf(outputs, "shell")).toEqual([["match", 10, 0]]);
  });

  test("observations with the same identity are one finding, others are others", () => {
    const host = given();
    const more = [
      sh(0),
      process(t0 + 9, { image: "/bin/sh", user: "www", pid: 7 }),
      process(t0 + 9, { image: "/bin/sh", user: "root" }),
    ];
    const outputs = host.apply("HostWindow", window(0, { processes: more }), t0);
    expect(rowsOf(outputs, "findings").map((f) => [f.identity, f.occurrences])).toEqual([
      [{ User: "www" }, 2],
      [{ User: "root" }, 1],
    ]);
    expect(JSON.parse(rowsOf(outputs, "findings")[0]?.evidence ?? "")).toMatchObject({ pid: 7, observations: 2 });
  });

  test("seen again, a finding grows and keeps its first time; outcomes are written on transition alone", () => {
    const host = given();
    host.apply("HostWindow", window(0, { processes: [sh(0)] }), t0 + 1);
    host.apply("HostWindow", window(1, { processes: [sh(1)] }), t0 + 1); // the same record timestamp: the version still grows
    host.apply("HostWindow", window(2), t0 + 3);
    host.apply("HostWindow", window(3), t0 + 4);
    const versions = rowsOf(host.outputs, "findings").map((f) => [
      f.version - t0,
      f.occurrences,
      f.first_seen - t0,
      f.last_seen - t0,
    ]);
    expect(versions).toEqual([
      [1, 1, 5, 5],
      [2, 2, 5, 10_005],
    ]);
    expect(outcomesOf(host.outputs, "shell")).toEqual([
      ["match", 10, 0],
      ["clear", 30, 0],
    ]);
    expect(eventsOf(host.outputs)).toEqual(["opened"]);
  });

  test("becomes inactive when the host's event time has passed it by a week, and is reopened with its first time", () => {
    const host = given();
    host.apply("HostWindow", window(0, { processes: [sh(0)] }), t0);
    const later = (inactive_after_ms + 10 * second) / (10 * second);
    expect(rowsOf(host.apply("HostWindow", window(later - 2), t0 + 1), "findings")).toEqual([]);
    const outputs = host.apply("HostWindow", window(later), t0 + 2);
    expect(rowsOf(outputs, "findings")).toMatchObject([
      { status: "inactive", status_reason: "not seen for 7 days", first_seen: t0 + 5 },
    ]);
    const again = host.apply("HostWindow", window(later + 1, { processes: [sh(later + 1)] }), t0 + 3);
    expect(rowsOf(again, "findings")).toMatchObject([
      { status: "active", status_reason: "", first_seen: t0 + 5, occurrences: 2 },
    ]);
    expect(eventsOf(host.outputs)).toEqual(["opened", "inactive", "reopened"]);
  });

  test.each([
    [
      "the collector failed",
      { collectors: [{ collector: "processes", status: "failed" as const, reason: "EPERM", missing_fields: [] }] },
      "failed: EPERM",
    ],
    [
      "a field that the rule reads is missing",
      { collectors: [{ collector: "processes", status: "partial" as const, reason: "EPERM", missing_fields: ["Image"] }] },
      "could not read Image",
    ],
    [
      "whole batches were lost",
      { drops: [{ kind: "batches", reason: "spool_full", count: 1 }] },
      "dropped by the agent: spool_full",
    ],
    [
      "the agent may have missed whole events",
      { collectors: [{ collector: "processes", status: "partial" as const, reason: "hidepid", missing_fields: [] }] },
      "could not see all: hidepid",
    ],
    ["nothing is said of the collector", { collectors: [] }, "did not say"],
    [
      "telemetry was dropped",
      { drops: [{ kind: "processes", reason: "queue_full", count: 4 }] },
      "dropped by the agent: queue_full",
    ],
    [
      "observations were cut",
      { counts: [{ kind: "processes", windowed: 9, folded: 0, cut: 1, duplicates: 0 }] },
      "more observations",
    ],
    ["the window is not covered", { covered_from: t0 + 1 }, "whole window"],
    ["the host fell silent", { closed_by: "silent" as const }, "silent"],
  ])("is insufficient evidence, never clear, where %s", (_what, over, reason) => {
    const host = given();
    const outputs = host.apply("HostWindow", window(0, over), t0);
    const outcome = rowsOf(outputs, "outcomes").find((o) => o.rule_id === "shell");
    expect(outcome).toMatchObject({ outcome: "insufficient_evidence", reason: expect.stringContaining(reason) });
  });

  test("a match stands even where evidence is incomplete", () => {
    const outputs = given().apply("HostWindow", window(0, { processes: [sh(0)], covered_from: t0 + 4 }), t0);
    expect(outcomesOf(outputs, "shell")).toEqual([["match", 10, 0]]);
  });

  test("evidence is bounded and says where it was cut", () => {
    const long = process(t0 + 5, { image: "/bin/sh", command_line: "x".repeat(50_000), ancestors: ["y".repeat(50_000)] });
    const [finding] = rowsOf(given().apply("HostWindow", window(0, { processes: [long] }), t0), "findings");
    expect(Buffer.byteLength(finding?.evidence ?? "")).toBeLessThanOrEqual(8192);
    expect(JSON.parse(finding?.evidence ?? "")).toMatchObject({
      cut: true,
      user: "alice",
      command_line: expect.stringContaining("characters cut"),
    });
  });

  test("past the limit of findings of a host the settled ones make room, active ones don't", () => {
    const many = Array.from({ length: findings_max }, (_, i) => process(t0 + 5, { image: "/bin/sh", user: `u${i}` }));
    const host = given();
    host.apply("HostWindow", window(0, { processes: many }), t0);
    const outputs = host.apply(
      "HostWindow",
      window(1, { processes: [process(t0 + 10_005, { image: "/bin/sh", user: "one-more" })] }),
      t0,
    );
    expect(rowsOf(outputs, "findings")).toEqual([]);
    const later = (inactive_after_ms + day) / (10 * second);
    host.apply("HostWindow", window(later), t0 + 1);
    const after = host.apply(
      "HostWindow",
      window(later + 1, { processes: [process(t0 + 8 * day, { image: "/bin/sh", user: "one-more" })] }),
      t0,
    );
    expect(rowsOf(after, "findings")).toHaveLength(1);
  });
});

describe("supplements", () => {
  const sh = process(t0 + 5, { image: "/bin/sh" });
  const supplement = (n: number, seq: number, over = {}) =>
    window(n, { closed_by: "supplement", seq_from: seq, seq_to: seq, ...over });

  test("turn clear into match, flagged late, and the next window says what holds then", () => {
    const host = given();
    host.apply("HostWindow", window(0), t0);
    const late = host.apply("HostWindow", supplement(0, 2, { processes: [sh] }), t0 + 1);
    expect(outcomesOf(late, "shell")).toEqual([["match", 10, 1]]);
    expect(rowsOf(late, "findings")).toMatchObject([{ late: 1, first_seen: t0 + 5 }]);
    expect(rowsOf(late, "finding_activity")).toMatchObject([{ late: 1, at: t0 }]);
    expect(rowsOf(late, "coverage")).toMatchObject([{ closed_by: "supplement" }]);
    expect(outcomesOf(host.apply("HostWindow", window(1, { seq_to: 3 }), t0 + 2), "shell")).toEqual([["clear", 20, 0]]);
  });

  test("never turn match into clear", () => {
    const host = given();
    host.apply("HostWindow", window(0, { processes: [sh] }), t0);
    expect(outcomesOf(host.apply("HostWindow", supplement(0, 2), t0 + 1), "shell")).toEqual([]);
  });

  test("tell of a window before the last transition without changing what holds now", () => {
    const host = given();
    host.apply("HostWindow", window(0), t0);
    host.apply("HostWindow", window(1, { processes: [process(t0 + 10_005, { image: "/bin/sh" })] }), t0);
    host.apply("HostWindow", window(2), t0);
    expect(outcomesOf(host.apply("HostWindow", supplement(0, 4, { processes: [sh] }), t0), "shell")).toEqual([["match", 10, 1]]);
    expect(outcomesOf(host.apply("HostWindow", window(3, { seq_to: 5 }), t0), "shell")).toEqual([]);
  });

  test("don't reopen what was resolved after the time that they tell of", () => {
    const host = given();
    host.apply("HostWindow", window(0, { listeners: [listener(t0 + 5)] }), t0);
    host.apply("HostWindow", window(1), t0);
    const outputs = host.apply("HostWindow", supplement(0, 3, { listeners: [listener(t0 + 7)] }), t0);
    expect(eventsOf(host.outputs)).toEqual(["opened", "resolved"]);
    expect(rowsOf(outputs, "findings")).toMatchObject([
      { status: "resolved", status_reason: "a complete window no longer shows it" },
    ]);
  });
});

describe("repeats", () => {
  test("parts at or below the host's mark are dropped", () => {
    const host = given();
    host.apply("HostWindow", window(0), t0);
    host.apply("HostWindow", window(1), t0);
    expect(host.apply("HostWindow", window(1), t0)).toEqual([]);
    expect(host.apply("HostWindow", window(0), t0)).toEqual([]);
    expect(host.apply("HostWindow", window(0, { host_id: "host-b" }), t0)).not.toEqual([]);
    // The same batch may cut two windows; a new incarnation begins its sequence anew.
    expect(host.apply("HostWindow", window(2, { seq_to: 2 }), t0)).not.toEqual([]);
    expect(host.apply("HostWindow", window(3, { seq_to: 1, incarnation: 2 }), t0)).not.toEqual([]);
  });

  test("what isn't a host window is a dead letter, and the next record is evaluated", () => {
    const host = given();
    const bad = { topic: "assay.host-windows", partition: 0, offset: 9, key: null, value: Buffer.from("no"), timestamp: t0 };
    expect(host.applyRecord(bad)).toMatchObject([
      { kind: "dead_letter", letter: { reason: "not_wire_format", offset: 9, value: Buffer.from("no") } },
    ]);
    expect(
      host.apply("HostSilent", { host_id: "a", incarnation: 1, seq: 1, silent_since: 1, at: 1, timeout_ms: 1 }, t0),
    ).toMatchObject([{ kind: "dead_letter", letter: { reason: "unexpected_schema" } }]);
    const foreign = { ...bad, key: Buffer.from("host-b"), value: codec.encode("HostWindow", window(0)) };
    expect(host.applyRecord(foreign)).toMatchObject([
      { kind: "dead_letter", letter: { reason: "wrong_host", detail: "a record of host-a under the key host-b" } },
    ]);
    expect(rowsOf(host.apply("HostWindow", window(0), t0), "coverage")).toHaveLength(1);
  });
});

describe("state rules on listeners", () => {
  const open = (n: number, port = 8000) => listener(t0 + n * 10 * second + 5, { port });

  test("open, stay, resolve when a complete window no longer shows it, reopen with the first time", () => {
    const host = given();
    for (const [n, listeners] of [[open(0)], [open(1)], [], [open(3)]].entries()) {
      host.apply("HostWindow", window(n, { listeners }), t0 + n);
    }
    expect(eventsOf(host.outputs)).toEqual(["opened", "resolved", "reopened"]);
    const [finding] = mergedFindings(host.outputs).values();
    expect(finding).toMatchObject({
      status: "active",
      first_seen: t0 + 5,
      last_seen: t0 + 30_005,
      occurrences: 3,
      resolved_at: null,
    });
    expect(rowsOf(host.outputs, "findings")[2]).toMatchObject({
      status: "resolved",
      resolved_at: t0 + 30_000,
      last_seen: t0 + 10_005,
    });
  });

  test.each([
    ["was not covered", { covered_to: t0 + 19_000 }],
    ["lost telemetry", { drops: [{ kind: "listeners", reason: "queue_full", count: 1 }] }],
    ["belongs to a silent host", { closed_by: "silent" as const }],
    [
      "could not read what the rule reads",
      { collectors: [{ collector: "listeners", status: "partial" as const, reason: "", missing_fields: ["Image"] }] },
    ],
  ])("a window that %s resolves nothing", (_what, over) => {
    const host = given();
    host.apply("HostWindow", window(0, { listeners: [open(0)] }), t0);
    expect(rowsOf(host.apply("HostWindow", window(1, over), t0), "findings")).toEqual([]);
  });

  test("are reopened by what is seen at the very edge of the window after", () => {
    const host = given();
    host.apply("HostWindow", window(0, { listeners: [listener(t0 + 5, { port: 8000 })] }), t0);
    host.apply("HostWindow", window(1), t0);
    host.apply("HostWindow", window(2, { listeners: [listener(t0 + 20_000, { port: 8000 })] }), t0);
    expect(eventsOf(host.outputs)).toEqual(["opened", "resolved", "reopened"]);
  });

  test("with a refresh time, rows are written that often, and none is lost from the counts", () => {
    const host = given(rules, minute);
    for (let n = 0; n < 10; n++) host.apply("HostWindow", window(n, { listeners: [open(n)] }), t0 + n);
    expect(rowsOf(host.outputs, "findings")).toHaveLength(2);
    host.apply("HostWindow", window(10), t0 + 10);
    const [finding] = mergedFindings(host.outputs).values();
    expect(finding).toMatchObject({ status: "resolved", occurrences: 10, last_seen: t0 + 90_005 });
    expect(rowsOf(host.outputs, "finding_activity").map((a) => a.occurrences)).toEqual([1, 6, 3]);
  });
});

describe("assessment rules", () => {
  const span = (begins: number, ends: number, assessment_id = "as-1") => ({
    assessment_id,
    application_id: "shop",
    begins_at: t0 + begins * second,
    ends_at: t0 + ends * second,
  });
  const run = (windows: readonly Parameters<typeof window>[1][], host = given()) => {
    for (const [n, over] of windows.entries()) host.apply("HostWindow", window(n, over), t0 + n);
    return host;
  };

  test("are asked once, when a window reaches the period's end", () => {
    const assessments = [span(10, 30), span(10, 30, "as-2")];
    const listeners = [
      listener(t0, { port: 22, last_used_at: t0 + 5_000 }),
      listener(t0, { port: 80, last_used_at: t0 + 15_000 }),
    ];
    const host = run([{ listeners }, { listeners, assessments }, { listeners, assessments }, { listeners }]);
    const periods = rowsOf(host.outputs, "outcomes").filter((o) => o.rule_id === "unused");
    expect(periods).toMatchObject([{ outcome: "match", as_of: t0 + 30_000, period_start: t0 + 10_000 }]);
    const found = rowsOf(host.outputs, "findings").filter((f) => f.rule_id === "unused");
    expect(found).toMatchObject([{ identity: { Port: "22" }, first_seen: t0 + 10_000, last_seen: t0 + 30_000, occurrences: 1 }]);
    expect(JSON.parse(found[0]?.evidence ?? "")).toMatchObject({ period_start: t0 + 10_000, period_end: t0 + 30_000, port: 22 });
  });

  test("where the host was not watched from the beginning, the evidence is insufficient, and the gap is named", () => {
    const host = run([
      { assessments: [span(0, 20)], covered_from: t0 + 3_000 },
      { assessments: [span(0, 20)], listeners: [listener(t0)] },
    ]);
    const periods = rowsOf(host.outputs, "outcomes").filter((o) => o.rule_id === "unused");
    expect(periods).toMatchObject([
      { outcome: "insufficient_evidence", reason: expect.stringContaining("2100-01-01T00:00:03.000Z") },
    ]);
    expect(rowsOf(host.outputs, "findings").filter((f) => f.rule_id === "unused")).toEqual([]);
  });

  test("a missing window in the middle, or one with failed connections, makes the evidence insufficient", () => {
    const assessments = [span(0, 40)];
    const gap = given();
    for (const n of [0, 1, 3]) gap.apply("HostWindow", window(n, { assessments }), t0);
    expect(rowsOf(gap.outputs, "outcomes").filter((o) => o.rule_id === "unused")).toMatchObject([
      { outcome: "insufficient_evidence", reason: expect.stringContaining("only since 2100-01-01T00:00:30.000Z") },
    ]);
    const failed = window(1).collectors.map((c) =>
      c.collector === "connections" ? { ...c, status: "failed" as const, reason: "EPERM" } : c,
    );
    const host = run([{ assessments }, { assessments, collectors: failed }, { assessments }, { assessments }]);
    expect(rowsOf(host.outputs, "outcomes").filter((o) => o.rule_id === "unused")).toMatchObject([
      { outcome: "insufficient_evidence", reason: expect.stringContaining("connections: the collector failed: EPERM") },
    ]);
  });

  test("when the host comes back after the end, the period is insufficient and asked once", () => {
    const host = given();
    host.apply("HostWindow", window(0, { assessments: [span(0, 20)] }), t0);
    host.apply("HostWindow", window(9, { listeners: [listener(t0)] }), t0);
    host.apply("HostWindow", window(10), t0);
    expect(rowsOf(host.outputs, "outcomes").filter((o) => o.rule_id === "unused")).toMatchObject([
      { outcome: "insufficient_evidence", as_of: t0 + 20_000 },
    ]);
  });

  test("one that was cancelled, or ends earlier than it was to, is not asked at its old end", () => {
    const listeners = [listener(t0, { port: 22 })];
    const stopped = run([
      { listeners, assessments: [span(0, 50)] },
      { listeners, assessments: [span(0, 50)] },
      { listeners, assessments: [span(0, 30)] },
      ...[3, 4, 5].map(() => ({ listeners })),
    ]);
    const periods = (host: typeof stopped) => rowsOf(host.outputs, "outcomes").filter((o) => o.rule_id === "unused");
    expect(periods(stopped)).toMatchObject([{ outcome: "match", as_of: t0 + 30_000, period_start: t0 }]);
    const cancelled = run([{ listeners, assessments: [span(0, 30)] }, { listeners }, { listeners }, { listeners }]);
    expect(periods(cancelled)).toEqual([]);
  });

  test("a later period that shows the listener used, or gone, resolves the finding", () => {
    const quiet = listener(t0, { port: 22 });
    const host = run([
      { assessments: [span(0, 20)], listeners: [quiet] },
      { assessments: [span(0, 20)], listeners: [quiet] },
      { assessments: [span(20, 40)], listeners: [quiet] },
      { assessments: [span(20, 40)], listeners: [{ ...quiet, last_used_at: t0 + 25_000 }] },
    ]);
    expect(eventsOf(host.outputs)).toEqual(["opened", "resolved"]);
    expect(
      rowsOf(host.outputs, "outcomes")
        .filter((o) => o.rule_id === "unused")
        .map((o) => o.outcome),
    ).toEqual(["match", "clear"]);
  });
});

describe("rules in force", () => {
  const other = plain("other", { package: "more" }, () => false);

  test("their rows are written when they change, with those gone marked, and findings of those gone close", () => {
    const sets = inForce(rules, ruleSet("d2", t0 + 10 * second, [other]));
    const host = given(sets);
    const first = host.apply(
      "HostWindow",
      window(-1 + 1, { window_end: t0 + 5 * second, processes: [process(t0 + 5, { image: "/bin/sh" })] }),
      t0,
    );
    expect(rowsOf(first, "rules").map((r) => [r.rule_id, r.removed, r.version])).toEqual([
      ["shell", 0, t0],
      ["http", 0, t0],
      ["unused", 0, t0],
    ]);
    const second_ = host.apply("HostWindow", window(1), t0 + 1);
    expect(rowsOf(second_, "rules").map((r) => [r.rule_id, r.removed, r.ruleset])).toEqual([
      ["shell", 1, "d2"],
      ["http", 1, "d2"],
      ["unused", 1, "d2"],
      ["other", 0, "d2"],
    ]);
    expect(rowsOf(second_, "findings")).toMatchObject([
      { rule_id: "shell", status: "closed", status_reason: expect.stringContaining("no longer") },
    ]);
    expect(rowsOf(host.apply("HostWindow", window(2), t0 + 2), "rules")).toEqual([]);
  });

  test("what a late part shows of a rule that is gone by now is told, and closed", () => {
    const host = given(inForce(ruleSet("d1", t0, [shell, cleartext]), ruleSet("d2", t0 + 15 * second, [shell])));
    for (const n of [0, 1, 2]) host.apply("HostWindow", window(n), t0 + n);
    const late = { closed_by: "supplement" as const, seq_to: 9, listeners: [listener(t0 + 5, { port: 8000 })] };
    const outputs = host.apply("HostWindow", window(0, late), t0 + 9);
    expect(eventsOf(outputs)).toEqual(["opened", "closed"]);
    expect(outcomesOf(outputs, "http")).toEqual([["match", 10, 1]]);
    expect([...mergedFindings(host.outputs).values()]).toMatchObject([{ status: "closed", occurrences: 1 }]);
  });

  test("a package that can't be loaded is an outcome of its own, keeps its findings, and is clear once it loads", () => {
    const broken = ruleSet("d2", t0 + 15 * second, [other], [{ package: "test", reason: "shell.yml:3: unknown modifier" }]);
    const host = given(inForce(ruleSet("d1", t0, [shell]), broken, ruleSet("d3", t0 + 35 * second, [shell])));
    for (let n = 0; n < 5; n++)
      host.apply("HostWindow", window(n, { processes: n === 0 ? [process(t0 + 5, { image: "/bin/sh" })] : [] }), t0 + n);
    expect(outcomesOf(host.outputs, "package:test")).toEqual([
      ["error", 20, 0],
      ["clear", 40, 0],
    ]);
    expect(eventsOf(host.outputs)).toEqual(["opened"]);
  });
});

describe("coverage", () => {
  test("one row per part, with counts by kind", () => {
    const outputs = given().apply(
      "HostWindow",
      window(0, {
        covered_from: t0 + 1_000,
        counts: [{ kind: "processes", windowed: 5, folded: 2, cut: 1, duplicates: 3 }],
        drops: [
          { kind: "processes", reason: "queue_full", count: 4 },
          { kind: "connections", reason: "queue_full", count: 1 },
        ],
        collectors: [{ collector: "listeners", status: "partial", reason: "EPERM", missing_fields: ["pid"] }],
        tags: { env: "prod" },
      }),
      t0,
    );
    expect(rowsOf(outputs, "coverage")).toMatchObject([
      {
        covered_ms: 9_000,
        windowed: { processes: 5 },
        folded: { processes: 2 },
        cut: { processes: 1 },
        duplicates: { processes: 3 },
        dropped: { processes: 4, connections: 1 },
        drop_reasons: { queue_full: 5 },
        collectors: { listeners: "partial:EPERM" },
        tags: { env: "prod" },
        applications: ["shop"],
        received_through: t0 + 10_000,
      },
    ]);
    expect(outputs[0]).toEqual({
      kind: "evaluated",
      subject: "host-a",
      through: t0 + 10_000,
      timestamp: t0,
      received_through: t0 + 10_000,
    });
  });
});

describe("replay", () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    "repeats and restarts from any checkpoint change no rows (seed %i)",
    (seed) => {
      const random = seeded(seed);
      const parts = Array.from({ length: 40 }, (_, n) => {
        const late = random() < 0.15 && n > 2;
        const at = late ? n - 2 : n;
        return window(at, {
          seq_to: n + 1,
          closed_by: late ? "supplement" : "complete",
          processes:
            random() < 0.3
              ? [process(t0 + at * 10 * second + 1, { image: "/bin/sh", user: `u${Math.floor(random() * 3)}` })]
              : [],
          listeners: random() < 0.6 ? [listener(t0 + at * 10 * second + 1)] : [],
        });
      });
      const once = given(rules, minute);
      for (const [n, part] of parts.entries()) once.apply("HostWindow", part, t0 + n);

      const again = given(rules, minute);
      let saved = { state: structuredClone(again.state), n: -1, outputs: 0 }; // n: the last one in it
      for (let n = 0; n < parts.length; n++) {
        const part = parts[n];
        if (!part) continue;
        again.apply("HostWindow", part, t0 + n);
        if (random() < 0.2) again.apply("HostWindow", parts[Math.floor(random() * (n + 1))] ?? part, t0 + n + 1_000);
        if (random() < 0.2) again.reload();
        if (random() < 0.2) saved = { state: structuredClone(again.state), n, outputs: again.outputs.length };
        else if (random() < 0.1) {
          again.state = saved.state; // a crash: back to the checkpoint, outputs since then are built again
          again.outputs.splice(saved.outputs);
          n = saved.n;
          saved = { ...saved, state: structuredClone(saved.state) };
        }
      }
      expect(again.outputs).toEqual(once.outputs);
    },
  );
});

test("a finding whose rule changed its severity is told as changed", () => {
  const high = plain("shell", { identity: ["User"], severity: "high" }, (f) => f.Image === "/bin/sh");
  const host = given(inForce(ruleSet("d1", t0, [shell]), ruleSet("d2", t0 + 15 * second, [high])));
  for (const n of [0, 1]) {
    host.apply("HostWindow", window(n, { processes: [process(t0 + n * 10 * second + 5, { image: "/bin/sh" })] }), t0 + n);
  }
  expect(eventsOf(host.outputs)).toEqual(["opened", "changed"]);
  expect([...mergedFindings(host.outputs).values()]).toMatchObject([
    { severity: "high", severity_rank: 3, occurrences: 2, ruleset: "d2" },
  ]);
});
