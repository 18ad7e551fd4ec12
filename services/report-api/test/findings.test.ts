import fc from "fast-check";
import { assessment, type Json, TestApi, TestControl, TestEngine } from "./report-api-under-test";
import { activity, coverage, finding, insert, outcome, rule } from "./rows";

const severities = ["informational", "low", "medium", "high", "critical"] as const;
const hour = 3_600_000;
/** Activity and coverage expire, so what is in them must be recent. */
const recent = Math.floor(Date.now() / hour) * hour - 200 * hour;

let engine: TestEngine;
let api: TestApi;
const control = new TestControl();

beforeAll(async () => {
  engine = await TestEngine.start();
  api = await TestApi.start(engine.store, control);
  await insert(engine.store, "findings", seeded);
});
afterAll(async () => {
  await api?.stop();
  await engine?.stop();
});

/** Few distinct values, so that sort keys tie. */
const seeded = Array.from({ length: 120 }, (_, i) => {
  const rank = (i * 7) % 5;
  return finding({
    finding_id: `f-${String((i * 37) % 120).padStart(3, "0")}`,
    rule_id: `rule-${i % 4}`,
    package: i % 3 === 0 ? "authentication" : "network-security",
    severity: severities[rank],
    severity_rank: rank,
    title: i % 10 === 0 ? "Root login over SSH is ALLOWED" : `Finding ${i}`,
    host_id: `host-${i % 6}`,
    host_name: `web-${i % 6}`,
    applications: i % 2 === 0 ? ["shop", "pay"] : ["shop"],
    status: ["active", "inactive", "resolved", "closed"][i % 4],
    first_seen: hour * (1 + (i % 5)),
    last_seen: hour * (10 + (i % 7)) + (i % 3),
    occurrences: 1 + (i % 3),
    late: i % 5 === 0 ? 1 : 0,
  });
});

async function walk(query: string, limit: number): Promise<Json[]> {
  const items: Json[] = [];
  let cursor: string | null = null;
  do {
    const at: string = cursor === null ? "" : `&cursor=${cursor}`;
    const page: Json = (await api.get(`/api/v1/findings?${query}&limit=${limit}${at}`)).body;
    expect(page.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

describe("lists", () => {
  it("gives each row once and in order, whatever the sort, the order and the page's size", async () => {
    const keyOf: Record<string, (item: Json) => number> = {
      severity: (item) => severities.indexOf(item.severity),
      first_seen: (item) => Date.parse(item.first_seen),
      last_seen: (item) => Date.parse(item.last_seen),
      occurrences: (item) => item.occurrences,
    };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("severity", "first_seen", "last_seen", "occurrences"),
        fc.constantFrom("asc", "desc"),
        fc.integer({ min: 11, max: 130 }),
        async (sort, order, limit) => {
          const items = await walk(`sort=${sort}&order=${order}`, limit);
          expect(new Set(items.map((item) => item.id))).toEqual(new Set(seeded.map((row) => row.finding_id)));
          expect(items).toHaveLength(seeded.length);
          const key = keyOf[sort] as (item: Json) => number;
          const sign = order === "asc" ? 1 : -1;
          for (const [i, item] of items.slice(1).entries()) {
            const before = items[i];
            const step = key(item) - key(before) || (item.id < before.id ? -1 : 1);
            expect(step * sign).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: 12 },
    );
  });

  it.each([
    ["severity=high,critical", (r: Json) => r.severity_rank >= 3],
    ["severity=high&severity=critical", (r: Json) => r.severity_rank >= 3],
    ["rule=rule-1", (r: Json) => r.rule_id === "rule-1"],
    ["package=authentication", (r: Json) => r.package === "authentication"],
    ["host=host-2,host-3", (r: Json) => ["host-2", "host-3"].includes(r.host_id)],
    ["application=pay", (r: Json) => r.applications.includes("pay")],
    ["status=active", (r: Json) => r.status === "active"],
    ["late=true", (r: Json) => r.late === 1],
    ["late=false", (r: Json) => r.late === 0],
    ["text=root%20LOGIN", (r: Json) => r.title.startsWith("Root login")],
    [
      "first_seen_from=1970-01-01T02:00:00Z&first_seen_to=1970-01-01T04:00:00Z",
      (r: Json) => r.first_seen >= 2 * hour && r.first_seen < 4 * hour,
    ],
    ["last_seen_from=1970-01-01T13:00:00%2B01:00", (r: Json) => r.last_seen >= 12 * hour],
    ["last_seen_to=1970-01-01T12:00:00.001Z", (r: Json) => r.last_seen < 12 * hour + 1],
    [
      "severity=low&status=active,inactive&application=shop",
      (r: Json) => r.severity_rank === 1 && ["active", "inactive"].includes(r.status),
    ],
    ["text=%27%20OR%201%3D1%20--", () => false],
    ["host=nowhere", () => false],
  ])("filters by %s, and aggregations count the same rows", async (query, fits) => {
    const expected = seeded.filter(fits);
    const items = await walk(query, 50);
    expect(items.map((item) => item.id).sort()).toEqual(expected.map((row) => row.finding_id).sort());
    for (const [by, keyOf] of [
      ["severity", (item: Json) => [item.severity]],
      ["rule", (item: Json) => [item.rule_id]],
      ["package", (item: Json) => [item.package]],
      ["host", (item: Json) => [item.host_id]],
      ["application", (item: Json) => item.applications],
    ] as const) {
      const { body } = await api.get(`/api/v1/findings/aggregations?by=${by}&${query}`);
      const counts: Record<string, number> = {};
      for (const key of items.flatMap(keyOf)) counts[key] = (counts[key] ?? 0) + 1;
      expect(Object.fromEntries(body.groups.map((g: Json) => [g.key, g.findings]))).toEqual(counts);
      expect(body).toMatchObject({ by, total: items.length, truncated: false });
    }
  });

  it("goes on where a page ended although findings come in between, and shows the newest version of each", async () => {
    const before = (await api.get("/api/v1/findings?sort=first_seen&order=asc&limit=100")).body;
    await insert(engine.store, "findings", [
      finding({ finding_id: "between", first_seen: 1, title: "Comes before the cursor" }),
      finding({ ...seeded[0], version: 2, status: "resolved", resolved_at: 90 * hour, title: "Changed" }),
    ]);
    const after = (await api.get(`/api/v1/findings?sort=first_seen&order=asc&limit=100&cursor=${before.next_cursor}`)).body;
    const ids = [...before.items, ...after.items].map((item: Json) => item.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(ids)).toEqual(new Set(seeded.map((row) => row.finding_id)));
    expect(after.next_cursor).toBeNull();
    const changed = (await api.get("/api/v1/findings?text=Changed")).body.items;
    expect(changed).toMatchObject([{ id: seeded[0]?.finding_id, status: "resolved", resolved_at: "1970-01-04T18:00:00.000Z" }]);
  });

  it("refuses a cursor that belongs to another list or isn't one", async () => {
    const { next_cursor } = (await api.get("/api/v1/findings?limit=5")).body;
    for (const query of [
      `sort=last_seen&cursor=${next_cursor}`,
      `severity=low&cursor=${next_cursor}`,
      "cursor=bm9uZQ",
      "cursor=%00",
    ]) {
      const { status, body } = await api.get(`/api/v1/findings?${query}`);
      expect([status, body.errors]).toEqual([400, [expect.objectContaining({ in: "query", name: "cursor" })]]);
    }
    const [digest] = JSON.parse(Buffer.from(String(next_cursor), "base64url").toString()) as [string];
    for (const key of [
      [1, 2],
      [1.5, "x"],
      [1e300, "x"],
    ]) {
      const forged = Buffer.from(JSON.stringify([digest, key])).toString("base64url");
      expect((await api.get(`/api/v1/findings?limit=5&cursor=${forged}`)).status).toBe(400);
    }
  });
});

describe("one finding", () => {
  it("shows evidence, the rule's texts and the newest activity first", async () => {
    await insert(engine.store, "rules", [rule({ rule_id: "telnet", title: "Telnet is used", scope: "event" })]);
    await insert(engine.store, "findings", [
      finding({ finding_id: "one", rule_id: "telnet", first_seen: recent, last_seen: recent + 3 * hour }),
    ]);
    await insert(
      engine.store,
      "finding_activity",
      [1, 3, 2].map((h) =>
        activity({
          finding_id: "one",
          rule_id: "telnet",
          at: recent + h * hour,
          until: recent + h * hour + 10_000,
          occurrences: h,
        }),
      ),
    );
    const { body } = await api.get("/api/v1/findings/one");
    expect(body).toMatchObject({
      id: "one",
      evidence: { Image: "/usr/bin/telnet" },
      rule: { title: "Telnet is used", remediation: "What to do", author: "Somebody", controls: { "pci-dss-4.0": ["2.2.4"] } },
      identity: { DestinationPort: "23" },
    });
    expect(body.activity.map((a: Json) => a.occurrences)).toEqual([3, 2, 1]);
    expect((await api.get("/api/v1/findings/none")).status).toBe(404);
  });
});

describe("findings of an assessment", () => {
  const begins_at = recent + 100 * hour;
  const ends_at = begins_at + hour;

  beforeAll(async () => {
    control.put("assessment", "past", assessment({ application_id: "bank", packages: ["authentication"], begins_at, ends_at }));
    await insert(engine.store, "rules", [
      rule({ rule_id: "sshd-root", package: "authentication", scope: "state" }),
      rule({ rule_id: "shell", package: "authentication", scope: "event" }),
    ]);
    await insert(engine.store, "coverage", [
      coverage({ host_id: "bank-1", window_start: begins_at, window_end: begins_at + 10_000, assessments: ["past"] }),
    ]);
    const of = { package: "authentication", host_id: "bank-1", applications: ["bank"], title: "Of the bank" };
    const state = { ...of, rule_id: "sshd-root", first_seen: begins_at - 50 * hour };
    const event = { ...of, rule_id: "shell", first_seen: begins_at - 50 * hour };
    await insert(engine.store, "findings", [
      finding({ ...event, finding_id: "seen-in-period" }),
      finding({ ...event, finding_id: "seen-at-the-end" }),
      finding({ ...event, finding_id: "seen-before" }),
      finding({ ...event, finding_id: "other-host", host_id: "bank-2" }),
      finding({ ...event, finding_id: "other-package", package: "network-security" }),
      finding({ ...state, finding_id: "state-still-so" }),
      finding({ ...state, finding_id: "state-resolved-later", status: "resolved", resolved_at: ends_at + 1 }),
      finding({ ...state, finding_id: "state-resolved-before", status: "resolved", resolved_at: begins_at }),
      finding({ ...state, finding_id: "state-found-later", first_seen: ends_at + 1 }),
    ]);
    const seen = { package: "authentication", rule_id: "shell", host_id: "bank-1" };
    await insert(engine.store, "finding_activity", [
      activity({ ...seen, finding_id: "seen-in-period", at: begins_at }),
      activity({ ...seen, finding_id: "seen-at-the-end", at: ends_at }),
      activity({ ...seen, finding_id: "seen-before", at: begins_at - 1 }),
      activity({ ...seen, finding_id: "other-host", host_id: "bank-2", at: begins_at }),
      activity({ ...seen, finding_id: "other-package", at: begins_at }),
    ]);
    await insert(engine.store, "outcomes", [
      outcome({ rule_id: "sshd-root", host_id: "bank-1", outcome: "match", as_of: begins_at - 50 * hour }),
      outcome({ rule_id: "sshd-root", host_id: "bank-1", outcome: "clear", as_of: ends_at + hour }),
    ]);
  });

  it("are those that were seen in its period on its hosts, and the states that were so at its end", async () => {
    const { body } = await api.get("/api/v1/findings?assessment=past");
    expect(body.items.map((item: Json) => item.id).sort()).toEqual(["seen-in-period", "state-resolved-later", "state-still-so"]);
    expect((await api.get("/api/v1/findings/aggregations?by=rule&assessment=past")).body.groups).toMatchObject([
      { key: "sshd-root", findings: 2 },
      { key: "shell", findings: 1 },
    ]);
    expect((await api.get("/api/v1/findings?assessment=past&rule=shell")).body.items).toHaveLength(1);
  });

  it("of an assessment that doesn't exist are an error", async () => {
    const { status, body } = await api.get("/api/v1/findings?assessment=never");
    expect([status, body.detail]).toEqual([404, 'there is no assessment "never"']);
  });
});
