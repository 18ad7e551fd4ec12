import { assessmentReport } from "../src/report";
import { routeTable } from "../src/routes/table";
import { assessment, type Json, TestApi, TestControl, TestEngine } from "./report-api-under-test";
import { activity, coverage, finding, insert, outcome, rule, section } from "./rows";

const minute = 60_000;
/** Coverage expires, so it must be recent. The assessment is over. */
const begins_at = Math.floor(Date.now() / minute) * minute - 30 * minute;
const ends_at = begins_at + minute;

let engine: TestEngine;
let api: TestApi;
const control = new TestControl();

beforeAll(async () => {
  engine = await TestEngine.start();
  api = await TestApi.start(engine.store, control);
  control.put("application", "shop", { name: "Shop", selector: { tag: "role", in: ["web"] }, tiers: [] }, begins_at);
  control.put("template", "daily", { name: "Daily", application_id: "shop", packages: [], duration_ms: minute });
  control.put(
    "assessment",
    "run",
    assessment({ state: "completed", begins_at, ends_at, history: [{ state: "completed", at: ends_at, reason: "done" }] }),
  );
  control.put("assessment", "going-on", assessment({ application_id: "empty", begins_at: Date.now() - minute }));
  const agent = { credential_sha256: "0".repeat(64), enrolled_at: begins_at - minute };
  for (const host_id of ["h-1", "h-2", "h-mute", "h-other"])
    control.put("agent", host_id, { ...agent, host_id, host_name: `name-${host_id}` });
  control.put("host", "h-mute", { tags: { role: "web" } });
  control.put("host", "h-other", { tags: { role: "database" } });
  await seed();
});
afterAll(async () => {
  await api?.stop();
  await engine?.stop();
});

async function seed(): Promise<void> {
  const { store } = engine;
  await insert(store, "rules", [
    rule({ rule_id: "event-rule", title: "Telnet is used", severity: "high" }),
    rule({ rule_id: "flow-rule", category: "flow" }),
    rule({ rule_id: "state-rule", scope: "state", category: "setting", package: "authentication", severity: "low" }),
    rule({ rule_id: "unused", scope: "assessment", category: "listener" }),
    rule({ rule_id: "removed", removed: 1 }),
  ]);
  const windows = (host_id: string, count: number, of: object = {}) =>
    Array.from({ length: count }, (_, i) => {
      const window_start = begins_at + i * 10_000;
      const window_end = window_start + 10_000;
      return coverage({
        host_id,
        host_name: `name-${host_id}`,
        window_start,
        window_end,
        received_through: window_end + 2_000,
        assessments: ["run"],
        seq_to: i,
        ...of,
      });
    });
  await insert(store, "coverage", [
    ...windows("h-1", 6),
    ...windows("h-2", 3, { dropped: { processes: 4 }, drop_reasons: { queue_full: 4 } }),
    ...windows("h-2", 1, { closed_by: "supplement", seq_to: 99 }),
    ...windows("h-other", 6, { assessments: [], applications: [] }),
  ]);
  await insert(store, "findings", [
    finding({
      finding_id: "telnet",
      rule_id: "event-rule",
      severity: "high",
      severity_rank: 3,
      host_id: "h-1",
      first_seen: begins_at,
      last_seen: Date.now(),
      evidence: '{"at":"later"}',
    }),
    finding({
      finding_id: "root-login",
      rule_id: "state-rule",
      package: "authentication",
      severity: "low",
      severity_rank: 1,
      category: "setting",
      host_id: "h-1",
      first_seen: begins_at - 999 * minute,
    }),
    finding({ finding_id: "flow", rule_id: "flow-rule", category: "flow", host_id: "h-2", first_seen: begins_at }),
    finding({
      finding_id: "flow-elsewhere",
      rule_id: "flow-rule",
      category: "flow",
      host_id: "h-1",
      applications: ["other"],
      first_seen: begins_at,
    }),
  ]);
  await insert(store, "finding_activity", [
    activity({
      finding_id: "telnet",
      rule_id: "event-rule",
      host_id: "h-1",
      at: begins_at,
      until: begins_at + 10_000,
      first: begins_at + 1,
      last: begins_at + 2,
      occurrences: 3,
      evidence: '{"at":"first"}',
    }),
    activity({
      finding_id: "telnet",
      rule_id: "event-rule",
      host_id: "h-1",
      at: begins_at + 20_000,
      until: begins_at + 30_000,
      first: begins_at + 20_001,
      last: begins_at + 20_009,
      occurrences: 2,
      evidence: '{"at":"last"}',
    }),
    activity({
      finding_id: "telnet",
      rule_id: "event-rule",
      host_id: "h-1",
      at: ends_at,
      until: ends_at + 10_000,
      occurrences: 50,
    }),
    activity({ finding_id: "flow", rule_id: "flow-rule", host_id: "h-2", at: begins_at, until: begins_at + 10_000 }),
    activity({ finding_id: "flow-elsewhere", rule_id: "flow-rule", host_id: "h-1", at: begins_at, until: begins_at + 10_000 }),
  ]);
  await insert(store, "outcomes", [
    outcome({ rule_id: "event-rule", host_id: "h-1", outcome: "match", as_of: begins_at + 10_000 }),
    outcome({ rule_id: "event-rule", host_id: "h-1", outcome: "clear", as_of: begins_at + 20_000 }),
    outcome({ rule_id: "event-rule", host_id: "h-2", outcome: "clear", as_of: begins_at - 5 * minute }),
    outcome({ rule_id: "flow-rule", host_id: "h-1", application_id: "shop", outcome: "clear", as_of: begins_at }),
    outcome({ rule_id: "flow-rule", host_id: "h-2", application_id: "shop", outcome: "match", as_of: begins_at + 10_000 }),
    outcome({ rule_id: "flow-rule", host_id: "h-2", application_id: "shop", outcome: "clear", as_of: begins_at + 20_000 }),
    outcome({ rule_id: "flow-rule", host_id: "", application_id: "shop", outcome: "clear", as_of: begins_at + 10_000 }),
    outcome({
      rule_id: "state-rule",
      host_id: "h-1",
      package: "authentication",
      outcome: "match",
      as_of: begins_at - 999 * minute,
    }),
    outcome({
      rule_id: "state-rule",
      host_id: "h-2",
      package: "authentication",
      outcome: "not_applicable",
      reason: "no sshd",
      as_of: begins_at - minute,
    }),
    outcome({ rule_id: "state-rule", host_id: "h-2", package: "authentication", outcome: "match", as_of: ends_at + 1 }),
    outcome({ rule_id: "unused", host_id: "h-1", outcome: "clear", as_of: ends_at, period_start: begins_at }),
    outcome({ rule_id: "unused", host_id: "h-1", outcome: "match", as_of: ends_at, period_start: begins_at - minute }),
    outcome({
      rule_id: "unused",
      host_id: "h-2",
      outcome: "insufficient_evidence",
      reason: "a gap",
      as_of: ends_at,
      period_start: begins_at,
    }),
  ]);
  await insert(store, "inventory_sections", [
    section({ host_id: "h-1", collected_at: ends_at }),
    section({ host_id: "h-1", section: "sshd", status: "partial", reason: "not root", collected_at: ends_at, content: "{}" }),
  ]);
}

const expected = [
  ["", "flow-rule", "clear", ""],
  ["h-1", "event-rule", "match", ""],
  ["h-1", "flow-rule", "clear", ""],
  ["h-1", "state-rule", "match", ""],
  ["h-1", "unused", "clear", ""],
  ["h-2", "event-rule", "clear", ""],
  ["h-2", "flow-rule", "match", ""],
  ["h-2", "state-rule", "not_applicable", "no sshd"],
  ["h-2", "unused", "insufficient_evidence", "a gap"],
  ["h-mute", "event-rule", "insufficient_evidence", "no evidence was received"],
  ["h-mute", "flow-rule", "insufficient_evidence", "no evidence was received"],
  ["h-mute", "state-rule", "insufficient_evidence", "no evidence was received"],
  ["h-mute", "unused", "insufficient_evidence", "no evidence was received"],
];
const brief = (outcomes: Json[]) => outcomes.map((o) => [o.host_id, o.rule_id, o.outcome, o.reason]);
const sorted = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).sort();

describe("outcomes of an assessment", () => {
  it("are one for each rule and host, the silent host's too", async () => {
    const { body } = await api.get("/api/v1/outcomes?assessment=run");
    expect(sorted(brief(body.items))).toEqual(sorted(expected));
    expect(body.next_cursor).toBeNull();
  });

  it("come in pages of any size, each once", async () => {
    for (const limit of [1, 4, 5]) {
      const items: Json[] = [];
      for (let cursor = ""; ; ) {
        const page = (await api.get(`/api/v1/outcomes?assessment=run&limit=${limit}${cursor}`)).body;
        items.push(...page.items);
        if (page.next_cursor === null) break;
        cursor = `&cursor=${page.next_cursor}`;
      }
      expect(sorted(brief(items))).toEqual(sorted(expected));
    }
  });

  it("can be filtered", async () => {
    const of = async (query: string) => sorted(brief((await api.get(`/api/v1/outcomes?assessment=run&${query}`)).body.items));
    expect(await of("outcome=match")).toEqual(sorted(expected.filter((row) => row[2] === "match")));
    expect(await of("host=h-2&rule=state-rule,unused")).toEqual(
      sorted(expected.filter((row) => row[0] === "h-2" && ["state-rule", "unused"].includes(row[1] ?? ""))),
    );
  });

  it("differ from what holds now", async () => {
    const { body } = await api.get("/api/v1/outcomes?host=h-2&rule=state-rule");
    expect(brief(body.items)).toEqual([["h-2", "state-rule", "match", ""]]);
    const pages = [];
    for (let cursor = ""; ; ) {
      const page = (await api.get(`/api/v1/outcomes?rule=event-rule,flow-rule&limit=2${cursor}`)).body;
      pages.push(...brief(page.items));
      if (page.next_cursor === null) break;
      cursor = `&cursor=${page.next_cursor}`;
    }
    expect(pages).toEqual([
      ["", "flow-rule", "clear", ""],
      ["h-1", "event-rule", "clear", ""],
      ["h-1", "flow-rule", "clear", ""],
      ["h-2", "event-rule", "clear", ""],
      ["h-2", "flow-rule", "clear", ""],
    ]);
  });
});

describe("an assessment", () => {
  it("is summed up live", async () => {
    const { body } = await api.get("/api/v1/assessments/run");
    expect(body).toMatchObject({ id: "run", state: "completed", history: [{ state: "completed", reason: "done" }] });
    expect(body.summary.findings).toEqual({ critical: 0, high: 1, medium: 1, low: 1, informational: 0 });
    expect(body.summary.outcomes).toEqual({ match: 3, clear: 4, not_applicable: 1, insufficient_evidence: 5, error: 0 });
    expect(body.summary.coverage).toMatchObject({
      hosts: 3,
      hosts_observed: 2,
      windows: 9,
      covered_share: 0.5,
      late_parts: 1,
      events: { processes: 50 },
      dropped: { processes: 12 },
      through: new Date(ends_at).toISOString(),
    });
    expect(body.exclusions.map((e: Json) => [e.host_id, e.reason])).toEqual([
      ["h-2", "telemetry_dropped"],
      ["h-mute", "silent_host"],
    ]);
  });

  it("is reported with evidence of its own period", async () => {
    const { body } = await api.get("/api/v1/assessments/run/report");
    expect(body.findings.map((f: Json) => f.id)).toEqual(["telnet", "flow", "root-login"]);
    expect(body.findings[0]).toMatchObject({
      evidence: { at: "last" },
      in_period: {
        occurrences: 5,
        first: new Date(begins_at + 1).toISOString(),
        last: new Date(begins_at + 20_009).toISOString(),
      },
      rule: { id: "event-rule", title: "Telnet is used", remediation: "What to do" },
    });
    expect(body.findings[2].in_period).toBeNull();
    expect(body).toMatchObject({ findings_total: 3, outcomes_total: 13, truncated: false, application: { id: "shop" } });
    expect(sorted(brief(body.outcomes))).toEqual(sorted(expected));
    const { generated_at: _, ...direct } = await assessmentReport(engine.store, control.view, "run");
    const { generated_at: __, ...served } = body;
    expect(direct).toEqual(served);
  });

  it("is listed, and filtered by application and state", async () => {
    const ids = async (query: string) => (await api.get(`/api/v1/assessments${query}`)).body.items.map((a: Json) => a.id);
    expect(await ids("")).toEqual(["going-on", "run"]);
    expect(await ids("?state=completed,failed")).toEqual(["run"]);
    expect(await ids("?application=empty")).toEqual(["going-on"]);
  });

  it("of an application without hosts has an empty summary", async () => {
    const { summary } = (await api.get("/api/v1/assessments/going-on")).body;
    expect(summary.coverage).toMatchObject({ hosts: 0, covered_share: 0, events: {} });
    expect(summary.outcomes.match).toBe(0);
  });
});

describe("hosts", () => {
  it("are all that are enrolled or ever told something, in pages", async () => {
    const first = (await api.get("/api/v1/hosts?limit=3")).body;
    const second = (await api.get(`/api/v1/hosts?limit=3&cursor=${first.next_cursor}`)).body;
    expect([...first.items, ...second.items].map((h: Json) => h.id)).toEqual(["h-1", "h-2", "h-mute", "h-other"]);
    expect(second.next_cursor).toBeNull();
  });

  it("show coverage, drops, collectors and inventory", async () => {
    const [h1, h2, mute] = (await api.get("/api/v1/hosts")).body.items;
    expect(h1).toMatchObject({
      name: "name-h-1",
      os: { id: "debian", architecture: "x86_64" },
      health: "silent",
      applications: ["shop"],
      last_seen: new Date(ends_at).toISOString(),
      coverage: { windows: 6, dropped: {} },
      collectors: [{ name: "processes", status: "working", reason: "" }],
      inventory: [
        { section: "os", status: "collected" },
        { section: "sshd", status: "partial", reason: "not root" },
      ],
    });
    expect(h2.coverage).toMatchObject({
      windows: 3,
      late_parts: 1,
      dropped: { processes: 12 },
      drop_reasons: { queue_full: 12 },
    });
    expect(mute).toMatchObject({ name: "name-h-mute", last_seen: null, health: "silent", os: null, tags: { role: "web" } });
    const range = `from=${new Date(begins_at).toISOString()}&to=${new Date(ends_at).toISOString()}`;
    expect((await api.get(`/api/v1/hosts/h-2?${range}`)).body.coverage.covered_share).toBe(0.5);
    expect((await api.get("/api/v1/hosts/unknown")).status).toBe(404);
  });

  it("are active while what closes their windows comes in, and count in the status", async () => {
    const now = Date.now();
    const end = Math.floor(now / 10_000) * 10_000;
    await insert(engine.store, "coverage", [
      coverage({ host_id: "h-new", window_start: end - 10_000, window_end: end, received_through: now }),
    ]);
    expect((await api.get("/api/v1/hosts/h-new")).body).toMatchObject({ health: "active", enrolled_at: null });
    expect((await api.get("/api/v1/status")).body).toMatchObject({
      hosts: { enrolled: 4, observed: 4, active: 1 },
      telemetry: { events: 85, dropped: 12 },
      windows: { closed: 16, late_parts: 1, last_closed: new Date(end).toISOString() },
      findings: { active: { critical: 0, high: 1, medium: 2, low: 1, informational: 0 } },
      assessments: { running: 1 },
    });
  });
});

describe("rules", () => {
  it("are those in force; a removed one is still found by its id", async () => {
    const ids = async (query: string) => (await api.get(`/api/v1/rules${query}`)).body.items.map((r: Json) => r.id);
    expect(await ids("")).toEqual(["event-rule", "flow-rule", "state-rule", "unused"]);
    expect(await ids("?package=authentication")).toEqual(["state-rule"]);
    expect(await ids("?severity=high,low")).toEqual(["event-rule", "state-rule"]);
    expect((await api.get("/api/v1/rules/removed")).status).toBe(200);
    expect((await api.get("/api/v1/rules/none")).status).toBe(404);
  });
});

describe("every route of the document", () => {
  const ids: Record<string, string> = {
    applications: "shop",
    templates: "daily",
    assessments: "run",
    findings: "telnet",
    hosts: "h-1",
    rules: "event-rule",
  };
  const queries: Record<string, string> = { "/api/v1/findings/aggregations": "?by=host", "/api/v1/outcomes": "?assessment=run" };
  const table = routeTable({ query: async () => [] }, new TestControl(), 60_000);

  it.each(table.filter((row) => row.method === "get").map((row) => [row.path, row] as const))(
    "GET %s answers as described",
    async (path, row) => {
      const noun = path.split("/")[3] ?? "";
      const { status, body } = await api.get(path.replace("{id}", ids[noun] ?? "") + (queries[path] ?? ""));
      expect(status).toBe(200);
      // parse() leaves out what the schema doesn't name: so nothing is said that isn't described.
      expect(row.response.parse(body)).toEqual(body);
    },
  );

  it("has the changes too", async () => {
    const bodies: Record<string, [string, unknown]> = {
      putApplication: ["/api/v1/applications/new", { name: "New", selector: { all: [] }, expected_version: 0 }],
      putTemplate: [
        "/api/v1/templates/new",
        { name: "New", application_id: "new", packages: [], duration_ms: minute, expected_version: 0 },
      ],
      startAssessment: ["/api/v1/assessments", { id: "fresh", template_id: "new" }],
      stopAssessment: ["/api/v1/assessments/fresh/stop", { evaluate: true }],
    };
    for (const row of table.filter((r) => r.method !== "get")) {
      const [path, sent] = bodies[row.operation] ?? ["", undefined];
      const { status, body } = await api.send(row.method.toUpperCase(), path, sent);
      expect([row.operation, row.statuses?.includes(status as 200)]).toEqual([row.operation, true]);
      expect(row.response.parse(body)).toEqual(body);
    }
  });
});
