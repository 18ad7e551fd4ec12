import { request } from "node:http";
import { startAdminServer } from "@assay/runtime/admin-server";
import { bearer, keys, TestApi, TestControl } from "./report-api-under-test";

const requests_in_flight_max = 3;
let api: TestApi;
/** Queries that have begun, each held until it is let go. */
const held: (() => void)[] = [];
const store = { query: () => new Promise<never[]>((resolve) => held.push(() => resolve([]))) };

beforeEach(async () => {
  held.length = 0;
  api = await TestApi.start(store, new TestControl(), { requests_in_flight_max });
});
afterEach(async () => {
  letGo();
  await api.stop();
});

function letGo(): void {
  for (const release of held.splice(0)) release();
}

const rules = () => api.get("/api/v1/rules");
const inFlight = async () => Number(/^assay_report_api_requests_in_flight (\d+)$/m.exec(await api.metricsText())?.[1]);
const refused = async () =>
  Number(/^assay_report_api_refused_total\{reason="overloaded"\} (\d+)$/m.exec(await api.metricsText())?.[1]);

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`did not come about within 5 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function full() {
  const answers = Array.from({ length: requests_in_flight_max }, rules);
  await until(() => held.length === requests_in_flight_max);
  return answers;
}

it("sends requests past the limit away with a 503 that says when to come back, counts them, and serves again", async () => {
  const answers = await full();
  expect([await inFlight(), await refused()]).toEqual([3, 0]);
  const { status, headers, body } = await rules();
  expect([status, headers.get("retry-after"), headers.get("content-type")]).toEqual([
    503,
    "1",
    expect.stringContaining("application/problem+json"),
  ]);
  expect(body).toMatchObject({
    type: "urn:assay:problem:overloaded",
    status: 503,
    detail: "3 requests are in hand, which is the limit (ASSAY_REPORT_API_REQUESTS_IN_FLIGHT_MAX)",
  });
  expect(held).toHaveLength(requests_in_flight_max);
  // Nobody's key is looked at either.
  expect((await api.get("/api/v1/rules", {})).status).toBe(503);
  expect(await refused()).toBe(2);
  letGo();
  expect((await Promise.all(answers)).map((a) => a.status)).toEqual([200, 200, 200]);
  await until(async () => (await inFlight()) === 0);
  const next = rules();
  await until(() => held.length === 1);
  letGo();
  expect((await next).status).toBe(200);
});

it("stays live, ready and measured meanwhile", async () => {
  const answers = await full();
  const services = () => [{ name: "report-api", ready: () => api.ready() as { ready: true } }];
  const admin = await startAdminServer({
    host: "127.0.0.1",
    port: 0,
    setting: "none",
    services,
    metrics: () => api.metricsText(),
  });
  for (const path of ["/live", "/ready", "/metrics"]) {
    const response = await fetch(`http://127.0.0.1:${admin.port}${path}`, { headers: { connection: "close" } });
    expect([path, response.status]).toEqual([path, 200]);
    await response.text();
  }
  await admin.stop();
  letGo();
  await Promise.all(answers);
});

it("counts a request whose reader has gone for as long as its query runs", async () => {
  const { port } = api;
  for (let i = 0; i < requests_in_flight_max; i++) {
    const sent = request({ port, host: "127.0.0.1", path: "/api/v1/rules", headers: bearer(keys.viewer), agent: false });
    sent.on("error", () => undefined); // it is given up on purpose
    sent.end();
    await until(() => held.length === i + 1);
    sent.destroy();
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect((await rules()).status).toBe(503);
  letGo();
  await until(async () => (await inFlight()) === 0);
});

it("gives the place of a request that fails or is refused back", async () => {
  for (let i = 0; i < requests_in_flight_max * 2; i++) {
    expect((await api.get("/api/v1/rules", {})).status).toBe(401);
    expect((await api.get("/api/v1/nothing")).status).toBe(404);
  }
  await until(async () => (await inFlight()) === 0);
  expect(await refused()).toBe(0);
});
