import { createHash } from "node:crypto";
import type { ControlView } from "@assay/control/follow";
import { assembling_wait_ms_max, chunks_max } from "../src/assemble-section";
import { evaluateInventory } from "../src/evaluate-inventory";
import { codec, eventsOf, hour, mergedFindings, minute, rowsOf, Steps, section, t0 } from "./given";
import { inForce, plain, plainEngine, ruleSet } from "./plain-engine";

const rootLogin = plain(
  "root-login",
  { category: "setting", service: "sshd", scope: "state" },
  (f) => f.PermitRootLogin === "yes",
);
const rules = ruleSet("d1", t0 - hour, [rootLogin]);

const around = {
  sink: { exact: true, write: async () => undefined },
  limits: { batch_records_max: 1, flush_outputs_max: 1, flush_wait_ms: 1, checkpoint_wait_ms: 1, tick_wait_ms: 1, slice_ms: 1 },
  prepare: async () => undefined,
};
const versioned = <T>(id: string, value: T) => ({ id, version: 1, at: 0, effective_from: 0, value });
const control = {
  at: (kind: string) =>
    kind === "application"
      ? [
          versioned("shop", { name: "shop", selector: { tag: "role", in: ["web"] }, tiers: [] }),
          versioned("other", { name: "other", selector: { tag: "role", in: ["db"] }, tiers: [] }),
        ]
      : [],
  versionAt: () => versioned("host-a", { tags: { role: "web" } }),
} as unknown as ControlView;

const given = () => new Steps(evaluateInventory({ codec, engine: plainEngine, rule_sets: inForce(rules), control }, around));
const yes = { settings: { PermitRootLogin: "yes" }, sources: {} };
const no = { settings: { PermitRootLogin: "no" }, sources: {} };

test("a section that shows a match opens a finding as of when it was collected", () => {
  const outputs = given().apply("InventorySection", section(0, "sshd", yes), t0 + 100);
  expect(rowsOf(outputs, "inventory_sections")).toMatchObject([
    {
      host_id: "host-a",
      section: "sshd",
      status: "collected",
      collected_at: t0,
      content: JSON.stringify(yes),
      version: t0 + 100,
    },
  ]);
  expect(rowsOf(outputs, "findings")).toMatchObject([
    {
      rule_id: "root-login",
      host_id: "host-a",
      applications: ["shop"],
      status: "active",
      first_seen: t0,
      last_seen: t0,
      occurrences: 1,
    },
  ]);
  expect(JSON.parse(rowsOf(outputs, "findings")[0]?.evidence ?? "")).toMatchObject({ section: "sshd", PermitRootLogin: "yes" });
  expect(rowsOf(outputs, "outcomes")).toMatchObject([{ rule_id: "root-login", outcome: "match", as_of: t0, period_start: null }]);
  expect(outputs[0]).toMatchObject({ kind: "evaluated", subject: "host-a", through: t0 });
});

test("shown again it stays, gone it resolves, back it is reopened with its first time", () => {
  const host = given();
  for (const [n, content] of [yes, yes, no, yes].entries())
    host.apply("InventorySection", section(n, "sshd", content), t0 + n * minute);
  expect(eventsOf(host.outputs)).toEqual(["opened", "resolved", "reopened"]);
  const [finding] = mergedFindings(host.outputs).values();
  expect(finding).toMatchObject({ status: "active", first_seen: t0, last_seen: t0 + 3 * minute, occurrences: 3 });
  expect(rowsOf(host.outputs, "outcomes").map((o) => o.outcome)).toEqual(["match", "clear", "match"]);
});

test.each([
  ["partial" as const, no],
  ["unreadable" as const, undefined],
])("a section that is %s ends nothing", (status, content) => {
  const host = given();
  host.apply("InventorySection", section(0, "sshd", yes), t0);
  const outputs = host.apply("InventorySection", section(1, "sshd", content, { status, reason: "EACCES" }), t0 + minute);
  expect(rowsOf(outputs, "findings")).toEqual([]);
  expect(rowsOf(outputs, "outcomes")).toMatchObject([{ outcome: "insufficient_evidence", reason: "EACCES" }]);
});

test("where the thing is gone its findings resolve and say so", () => {
  const host = given();
  host.apply("InventorySection", section(0, "sshd", yes), t0);
  const outputs = host.apply(
    "InventorySection",
    section(1, "sshd", undefined, { status: "absent", reason: "no sshd" }),
    t0 + minute,
  );
  expect(rowsOf(outputs, "findings")).toMatchObject([{ status: "resolved", status_reason: "sshd is no longer on this host" }]);
  expect(rowsOf(outputs, "outcomes")).toMatchObject([{ outcome: "not_applicable" }]);
});

test("repeats and older sections are dropped", () => {
  const host = given();
  host.apply("InventorySection", section(5, "sshd", yes), t0);
  expect(host.apply("InventorySection", section(5, "sshd", yes), t0)).toEqual([]);
  expect(host.apply("InventorySection", section(4, "sshd", no), t0)).toEqual([]);
  expect(host.apply("InventorySection", section(1, "sshd", no, { incarnation: 2 }), t0)).not.toEqual([]);
});

test("a clock that is off is corrected by when the section was accepted", () => {
  const outputs = given().apply("InventorySection", section(0, "sshd", yes, { sent_at: t0 + 2_000 }), t0 + 2_000 + hour);
  expect(rowsOf(outputs, "inventory_sections")).toMatchObject([{ collected_at: t0 + hour }]);
});

test("a section that is collected after it was sent is a dead letter", () => {
  const bad = section(0, "sshd", yes, { collected_at: t0 + 100 * hour, sent_at: t0 });
  expect(given().apply("InventorySection", bad, t0)).toMatchObject([
    { kind: "dead_letter", letter: { reason: "out_of_bounds" } },
  ]);
});

describe("chunks", () => {
  const whole = section(0, "sshd", yes);
  const cut = (chunks: number, content = whole.content) =>
    Array.from({ length: chunks }, (_, chunk) => ({
      ...whole,
      chunk,
      chunks,
      content: content.subarray(
        Math.floor((chunk * content.length) / chunks),
        Math.floor(((chunk + 1) * content.length) / chunks),
      ),
    }));

  test("are put together in any order, with repeats, and across a checkpoint", () => {
    const host = given();
    const [a, b, c] = cut(3);
    if (!a || !b || !c) throw new Error("three chunks");
    expect(host.apply("InventorySection", c, t0)).toEqual([]);
    expect(host.apply("InventorySection", a, t0)).toEqual([]);
    expect(host.apply("InventorySection", a, t0)).toEqual([]);
    host.reload();
    expect(rowsOf(host.apply("InventorySection", b, t0), "inventory_sections")).toMatchObject([{ content: JSON.stringify(yes) }]);
    expect(host.apply("InventorySection", b, t0)).toEqual([]);
  });

  test("that don't give the digest are a dead letter", () => {
    const host = given();
    for (const chunk of cut(2, Buffer.from("x".repeat(60)))) host.apply("InventorySection", chunk, t0);
    expect(host.outputs).toMatchObject([{ kind: "dead_letter", letter: { reason: "invalid_body", host_id: "host-a" } }]);
  });

  test("of a newer section replace those of an older one, never the reverse", () => {
    const host = given();
    const newer = section(1, "sshd", no);
    const half = Math.floor(newer.content.length / 2);
    const [a, b] = cut(2);
    if (!a || !b) throw new Error("two chunks");
    host.apply("InventorySection", a, t0);
    host.apply("InventorySection", { ...newer, chunk: 0, chunks: 2, content: newer.content.subarray(0, half) }, t0);
    expect(host.apply("InventorySection", b, t0)).toEqual([]);
    const outputs = host.apply(
      "InventorySection",
      { ...newer, chunk: 1, chunks: 2, content: newer.content.subarray(half) },
      t0 + minute,
    );
    expect(rowsOf(outputs, "inventory_sections")).toMatchObject([{ collected_at: t0 + minute, content: JSON.stringify(no) }]);
  });

  test("that nobody finishes are let go with a dead letter", () => {
    const host = given();
    const [a] = cut(2);
    if (!a) throw new Error("a chunk");
    host.apply("InventorySection", a, t0);
    const other = { ...a, host_id: "host-b" };
    const outputs = host.apply("InventorySection", other, t0 + assembling_wait_ms_max + 1);
    expect(outputs).toMatchObject([
      { kind: "dead_letter", letter: { offset: 0, host_id: "host-a", detail: expect.stringContaining("1 of 2 chunks") } },
    ]);
  });

  test.each([
    ["too many", { chunks: chunks_max + 1 }],
    ["a number past the last", { chunk: 2, chunks: 2 }],
    ["none", { chunks: 0 }],
  ])("%s are refused", (_what, over) => {
    expect(given().apply("InventorySection", { ...whole, ...over }, t0)).toMatchObject([
      { kind: "dead_letter", letter: { reason: "out_of_bounds" } },
    ]);
  });
});

test.each([
  ["a section that doesn't exist", section(0, "constructor", yes)],
  ["content that isn't JSON", section(0, "sshd", undefined)],
  ["a wrong digest", section(0, "sshd", yes, { digest: createHash("sha256").update("other").digest("hex") })],
])("%s is a dead letter, and changes nothing", (_what, bad) => {
  const host = given();
  expect(host.apply("InventorySection", bad, t0)).toMatchObject([{ kind: "dead_letter", letter: { reason: "invalid_body" } }]);
  expect(rowsOf(host.apply("InventorySection", section(0, "sshd", yes), t0), "findings")).toHaveLength(1);
});
