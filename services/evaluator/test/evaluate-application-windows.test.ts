import { evaluateApplicationWindows, revisions_horizon_ms } from "../src/evaluate-application-windows";
import { applicationHost, applicationWindow, codec, eventsOf, flow, mergedFindings, rowsOf, Steps, second, t0 } from "./given";
import { inForce, plain, plainEngine, ruleSet } from "./plain-engine";

const telnet = plain(
  "telnet",
  { category: "flow", identity: ["DestinationPort"], fields: ["DestinationPort", "Image"] },
  (f) => f.DestinationPort === 23,
);

const around = {
  sink: { exact: true, write: async () => undefined },
  limits: { batch_records_max: 1, flush_outputs_max: 1, flush_wait_ms: 1, checkpoint_wait_ms: 1, tick_wait_ms: 1, slice_ms: 1 },
  prepare: async () => undefined,
};
const given = () =>
  new Steps(evaluateApplicationWindows({ codec, engine: plainEngine, rule_sets: inForce(ruleSet("d1", t0, [telnet])) }, around));
const outcomesOf = (outputs: Parameters<typeof rowsOf>[0]) =>
  rowsOf(outputs, "outcomes").map((o) => [o.host_id, o.outcome, (o.as_of - t0) / second, o.late]);

test("a flow's finding is on its source host, and told as the application's evidence", () => {
  const outputs = given().apply("ApplicationWindow", applicationWindow(0, { flows: [flow(t0 + 5, { count: 4 })] }), t0 + 1);
  expect(rowsOf(outputs, "findings")).toMatchObject([
    {
      host_id: "host-a",
      host_name: "host-a.example",
      application_id: "",
      applications: ["shop"],
      occurrences: 4,
      first_seen: t0 + 5,
    },
  ]);
  expect(JSON.parse(rowsOf(outputs, "findings")[0]?.evidence ?? "")).toMatchObject({
    source: { user: "alice", image: "/usr/bin/telnet" },
  });
  expect(rowsOf(outputs, "outcomes")).toMatchObject([
    { host_id: "host-a", application_id: "shop", outcome: "match", as_of: t0 + 10_000 },
  ]);
});

test("a flow from outside is the application's", () => {
  const { source } = flow(t0);
  const outputs = given().apply(
    "ApplicationWindow",
    applicationWindow(0, { flows: [flow(t0 + 5, { source: { ...source, host_id: "" } })] }),
    t0,
  );
  expect(rowsOf(outputs, "findings")).toMatchObject([{ host_id: "", application_id: "shop", applications: ["shop"] }]);
  expect(outcomesOf(outputs)).toEqual([
    ["host-a", "clear", 10, 0],
    ["", "match", 10, 0],
  ]);
});

test("the same flow in two applications is two findings", () => {
  const both = given();
  both.apply("ApplicationWindow", applicationWindow(0, { flows: [flow(t0 + 5)] }), t0);
  both.apply("ApplicationWindow", applicationWindow(0, { application_id: "other", flows: [flow(t0 + 5)] }), t0);
  expect(mergedFindings(both.outputs).size).toBe(2);
});

test("a newer revision adds just the difference, late, and an older one nothing", () => {
  const shop = given();
  const revision = (n: number, count: number) =>
    applicationWindow(0, { revision: n, late: n > 1, flows: [flow(t0 + 5, { count })] });
  shop.apply("ApplicationWindow", revision(1, 4), t0);
  expect(rowsOf(shop.apply("ApplicationWindow", revision(3, 6), t0), "finding_activity")).toMatchObject([
    { occurrences: 2, late: 1 },
  ]);
  expect(shop.apply("ApplicationWindow", revision(2, 5), t0)).toEqual([]);
  expect(shop.apply("ApplicationWindow", revision(3, 6), t0)).toEqual([]);
  expect(rowsOf(shop.apply("ApplicationWindow", revision(4, 6), t0), "findings")).toEqual([]);
  const [finding] = mergedFindings(shop.outputs).values();
  expect(finding?.occurrences).toBe(6);
  expect(eventsOf(shop.outputs)).toEqual(["opened"]);
});

test("a revision may turn clear into match, never the reverse", () => {
  const shop = given();
  shop.apply("ApplicationWindow", applicationWindow(0), t0);
  shop.apply("ApplicationWindow", applicationWindow(0, { revision: 2, late: true, flows: [flow(t0 + 5)] }), t0);
  shop.apply("ApplicationWindow", applicationWindow(0, { revision: 3, late: true }), t0);
  expect(outcomesOf(shop.outputs)).toEqual([
    ["host-a", "clear", 10, 0],
    ["host-a", "match", 10, 1],
  ]);
});

test.each([
  ["the host's coverage is short", { covered_from: t0 + 1 }, "whole window"],
  ["the connections collector failed", { connections_status: "failed" as const, connections_reason: "EPERM" }, "failed: EPERM"],
  [
    "the agent may have missed whole connections",
    { connections_status: "partial" as const, connections_reason: "hidden" },
    "all: hidden",
  ],
  ["a field that the rule reads is missing", { missing_fields: ["Image"] }, "could not read Image"],
])("is insufficient evidence where %s", (_what, over, reason) => {
  const hosts = [applicationHost("host-a", 0, over), applicationHost("host-b", 0)];
  const outputs = given().apply("ApplicationWindow", applicationWindow(0, { hosts }), t0);
  expect(rowsOf(outputs, "outcomes")).toMatchObject([
    { host_id: "host-a", outcome: "insufficient_evidence", reason: expect.stringContaining(reason) },
    { host_id: "host-b", outcome: "clear" },
  ]);
});

test("flows past the limit make clear insufficient", () => {
  expect(outcomesOf(given().apply("ApplicationWindow", applicationWindow(0, { cut: 3 }), t0))).toEqual([
    ["host-a", "insufficient_evidence", 10, 0],
  ]);
});

test("windows are remembered for a day behind the newest; one from before is a dead letter", () => {
  const shop = given();
  shop.apply("ApplicationWindow", applicationWindow(0), t0);
  shop.apply("ApplicationWindow", applicationWindow(revisions_horizon_ms / 10_000), t0);
  const outputs = shop.apply("ApplicationWindow", applicationWindow(0, { revision: 2 }), t0);
  expect(outputs).toMatchObject([{ kind: "dead_letter", letter: { reason: "out_of_bounds" } }]);
});
