import { request } from "node:http";
import { NoAnswerError } from "@assay/control/ask";
import { bearer, keys, TestApi, TestControl } from "./report-api-under-test";

let control: TestControl;
let api: TestApi;
const store = {
  failure: undefined as Error | undefined,
  async query(): Promise<never[]> {
    if (store.failure) throw store.failure;
    return [];
  },
};

beforeEach(async () => {
  store.failure = undefined;
  control = new TestControl();
  api = await TestApi.start(store, control);
});
afterEach(() => api.stop());

const shop = { name: "Shop", selector: { all: [] }, tiers: [] };

describe("authentication", () => {
  it.each([
    ["no key", {}, "give an API key"],
    ["an unknown key", bearer("guess"), "not known, or was revoked"],
    ["a revoked key", bearer(keys.revoked), "not known, or was revoked"],
    ["another scheme", { authorization: "Basic dmlld2VyLWtleQ==" }, "not Bearer and a key"],
    ["a key that is too long", bearer("x".repeat(513)), "513 characters, above the limit of 512"],
  ])("refuses %s", async (_, headers, detail) => {
    const answered = await api.get("/api/v1/applications", headers as Record<string, string>);
    expect(answered.status).toBe(401);
    expect(answered.headers.get("www-authenticate")).toContain("Bearer");
    expect(answered.headers.get("content-type")).toContain("application/problem+json");
    expect(answered.body).toMatchObject({ type: "urn:assay:problem:unauthenticated", status: 401 });
    expect(answered.body.detail).toContain(detail);
  });

  it("takes a key as bearer or as x-api-key", async () => {
    expect((await api.get("/api/v1/applications", bearer(keys.viewer))).status).toBe(200);
    expect((await api.get("/api/v1/applications", { "x-api-key": keys.viewer })).status).toBe(200);
  });

  it("lets viewers read and operators write", async () => {
    const answered = await api.send("PUT", "/api/v1/applications/shop", { ...shop, expected_version: 0 }, bearer(keys.viewer));
    expect([answered.status, answered.body.detail]).toEqual([403, 'the key "a viewer" has the role viewer; this needs operator']);
    expect(control.asked).toEqual([]);
    expect((await api.send("PUT", "/api/v1/applications/shop", { ...shop, expected_version: 0 })).status).toBe(201);
  });

  it("leaves /openapi.json open", async () => {
    expect((await api.get("/openapi.json", {})).status).toBe(200);
  });
});

describe("changes", () => {
  it("waits for the coordinator, tells it who asked, and gives back the version", async () => {
    const created = await api.send("PUT", "/api/v1/applications/shop", {
      name: "Shop",
      selector: { all: [] },
      expected_version: 0,
    });
    expect([created.status, created.headers.get("etag"), created.body.version]).toEqual([201, '"1"', 1]);
    expect(control.asked).toEqual([
      { by: "an operator", body: { type: "put_application", id: "shop", expected_version: 0, application: shop } },
    ]);
    const headers = { ...bearer(keys.operator), "if-match": '"1"' };
    const changed = await api.send("PUT", "/api/v1/applications/shop", { ...shop, name: "Store" }, headers);
    expect([changed.status, changed.body]).toMatchObject([200, { id: "shop", version: 2, name: "Store" }]);
    expect((await api.get("/api/v1/applications/shop")).headers.get("etag")).toBe('"2"');
    expect((await api.get("/api/v1/applications")).body).toMatchObject({
      items: [{ id: "shop", version: 2 }],
      next_cursor: null,
    });
  });

  it("refuses a change that is based on an older version, and one that tells none", async () => {
    control.put("application", "shop", shop);
    const late = await api.send("PUT", "/api/v1/applications/shop", { ...shop, expected_version: 0 });
    expect([late.status, late.body.detail]).toEqual([409, "application shop is at version 1, not 0"]);
    expect((await api.send("PUT", "/api/v1/applications/shop", shop)).status).toBe(428);
    const odd = { ...bearer(keys.operator), "if-match": "latest" };
    expect((await api.send("PUT", "/api/v1/applications/shop", shop, odd)).body.detail).toContain('If-Match is "latest"');
    const both = { ...bearer(keys.operator), "if-match": '"1"' };
    expect((await api.send("PUT", "/api/v1/applications/shop", { ...shop, expected_version: 2 }, both)).status).toBe(400);
  });

  it.each([
    ["invalid", 422],
    ["not_found", 404],
    ["not_allowed_in_state", 409],
    ["no answer", 503],
  ] as const)("tells what the coordinator said: %s", async (reason, status) => {
    const detail = "what the coordinator said";
    control.refusal = reason === "no answer" ? new NoAnswerError(detail) : { result: "rejected", reason, detail };
    const template = { name: "Daily", application_id: "shop", packages: [], duration_ms: 3_600_000, expected_version: 0 };
    const answered = await api.send("PUT", "/api/v1/templates/daily", template);
    expect([answered.status, answered.body.detail]).toEqual([status, expect.stringContaining(detail)]);
  });

  it("starts and stops assessments", async () => {
    control.put("template", "daily", { name: "Daily", application_id: "shop", packages: [], duration_ms: "continuous" });
    const started = await api.send("POST", "/api/v1/assessments", { template_id: "daily" });
    expect(started.status).toBe(201);
    expect(started.body.id).toMatch(/^daily-\d{8}t\d{6}-[0-9a-f]{6}$/);
    expect(started.headers.get("location")).toBe(`/api/v1/assessments/${started.body.id}`);
    expect((await api.send("POST", "/api/v1/assessments", { template_id: "weekly" })).status).toBe(404);
    const stopped = await api.send("POST", `/api/v1/assessments/${started.body.id}/stop`, { evaluate: false });
    expect([stopped.status, stopped.body.state]).toEqual([202, "cancelled"]);
  });
});

describe("bad input", () => {
  it.each([
    ["GET", "/api/v1/findings?limit=501", "query limit"],
    ["GET", "/api/v1/findings?limit=ten", "query limit"],
    ["GET", "/api/v1/findings?limit=1&limit=2", "query limit"],
    ["GET", "/api/v1/findings?severity=severe", "query severity.0"],
    ["GET", `/api/v1/findings?host=${"h,".repeat(101)}h`, "query host"],
    ["GET", `/api/v1/findings?rule=${"r".repeat(257)}`, "query rule.0"],
    ["GET", `/api/v1/findings?text=${"t".repeat(201)}`, "query text"],
    ["GET", "/api/v1/findings?first_seen_from=yesterday", "query first_seen_from"],
    ["GET", "/api/v1/findings?first_seen_from=2026-01-01T00:00:00", "query first_seen_from"],
    ["GET", "/api/v1/findings?first_seen_from=2026-01-02T00:00:00Z&first_seen_to=2026-01-01T00:00:00Z", "first_seen_from"],
    ["GET", "/api/v1/findings?late=maybe", "query late"],
    ["GET", "/api/v1/findings?colour=red", "query colour: is not known here"],
    ["GET", "/api/v1/findings/aggregations", "query by"],
    ["GET", "/api/v1/outcomes", "give an assessment, a host or a rule"],
    ["GET", "/api/v1/hosts?from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z", "above the limit of 2678400000 ms"],
    ["GET", "/api/v1/status?verbose=true", "query verbose"],
    ["GET", "/api/v1/applications/UPPER", "path id"],
    ["GET", "/api/v1/applications/%ZZ", "decode"],
    ["PUT", "/api/v1/applications/shop", "a JSON body is needed"],
  ])("%s %s is a clear 400", async (method, path, detail) => {
    const answered = await api.send(method, path);
    expect([answered.status, answered.body.type]).toEqual([400, "urn:assay:problem:invalid_request"]);
    expect(answered.body.detail.toLowerCase()).toContain(detail.toLowerCase());
  });

  it("names every fault of a body", async () => {
    const { status, body } = await api.send("PUT", "/api/v1/applications/shop", {
      name: "",
      selector: { all: [] },
      colour: "red",
    });
    expect(status).toBe(400);
    expect(body.errors).toEqual([
      expect.objectContaining({ in: "body", name: "name" }),
      { in: "body", name: "colour", detail: "is not known here" },
    ]);
  });

  it("points at what is wrong in a selector, however deep, and refuses one that is too deep", async () => {
    const detailOf = async (selector: unknown) =>
      (await api.send("PUT", "/api/v1/applications/shop", { ...shop, selector, expected_version: 0 })).body.detail;
    expect(await detailOf({ not: { any: [{ tag: "role", in: [] }] } })).toContain("body selector.not.any.0.in: ");
    expect(await detailOf({ tags: "role" })).toBe("body selector: fits none of the forms that are allowed here");
    const deep = `{"name":"Shop","tiers":[],"expected_version":0,"selector":${'{"not":'.repeat(50_000)}{"all":[]}${"}".repeat(50_000)}}`;
    const { status, body } = await api.send("PUT", "/api/v1/applications/shop", deep);
    expect([status, body.detail]).toEqual([400, "body: nests deeper than the limit of 32"]);
  });

  it("refuses bodies that aren't JSON, are too large, or say so", async () => {
    expect((await api.send("PUT", "/api/v1/applications/shop", '{"name":')).body.detail).toContain("not valid JSON");
    const large = await api.send("PUT", "/api/v1/applications/shop", { name: "x".repeat(1024 * 1024) });
    expect([large.status, large.body.detail]).toEqual([413, "the body is larger than the limit of 1048576 bytes"]);
    const typed = { ...bearer(keys.operator), "content-type": "text/plain" };
    expect((await api.send("PUT", "/api/v1/applications/shop", "name", typed)).status).toBe(415);
  });

  it("tells what a path takes, and that there is no such path", async () => {
    const wrong = await api.send("DELETE", "/api/v1/applications/shop");
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, PUT"]);
    const { status, body } = await api.get("/api/v1/nothing");
    expect([status, body.type]).toEqual([404, "urn:assay:problem:not_found"]);
  });

  it("answers requests for absolute targets and with odd escapes without falling over", async () => {
    const { port } = new URL(`http://127.0.0.1:${api.port}`);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request({ port, host: "127.0.0.1", path: "http://elsewhere/api/v1/../../etc/passwd", agent: false }, (r) => {
        r.resume();
        resolve(r.statusCode);
      });
      sent.once("error", reject).end();
    });
    expect(status).toBe(404);
  });
});

describe("when the world is down", () => {
  it("keeps what a failing store said to itself", async () => {
    store.failure = new Error("password of the engine is hunter2");
    const { status, body } = await api.get("/api/v1/findings");
    expect([status, body.type]).toEqual([500, "urn:assay:problem:failed"]);
    expect(JSON.stringify(body)).not.toContain("hunter2");
  });
});

describe("a store that can't answer", () => {
  it.each([
    [
      "did not answer",
      new Error("ClickHouse did not take the request", { cause: new Error("ECONNREFUSED") }),
      "the store does not answer",
    ],
    [
      "took too long",
      Object.assign(new Error("Timeout exceeded"), { type: "TIMEOUT_EXCEEDED" }),
      "longer than the limit of 15 s",
    ],
    ["had too many rows", Object.assign(new Error("Limit"), { type: "TOO_MANY_ROWS_OR_BYTES" }), "narrow its filters"],
  ])("because it %s is a 503 that says so", async (_, failure, detail) => {
    store.failure = failure;
    const { status, body } = await api.get("/api/v1/findings");
    expect([status, body.type, body.detail]).toEqual([503, "urn:assay:problem:unavailable", expect.stringContaining(detail)]);
  });
});

describe("metrics", () => {
  it("count requests by operation and status", async () => {
    await api.get("/api/v1/applications");
    await api.get("/api/v1/applications/none");
    const text = await api.metricsText();
    expect(text).toContain('assay_report_api_request_duration_seconds_count{operation="listApplications",status="200"} 1');
    expect(text).toContain('assay_report_api_request_duration_seconds_count{operation="getApplication",status="404"} 1');
  });
});
