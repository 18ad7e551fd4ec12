import { createHash } from "node:crypto";
import { NoAnswerError } from "@assay/control/ask";
import type { Agent } from "@assay/control/entities";
import { asHost, credential, enrol_secret, type GivenIngest, givenIngest, host_id, telemetryWire } from "./given-ingest";

const asked = { secret: enrol_secret, host_id: "host-2", host_name: "two", agent_version: "0.1.0" };
let ingest: GivenIngest;
afterEach(() => ingest.stop());
const enrol = (body: unknown) => ingest.post("/v1/enrol", JSON.stringify(body), { "content-type": "application/json" });

describe("enrolment", () => {
  beforeEach(async () => {
    ingest = await givenIngest();
  });

  test("gives a credential that works at once, of which only the hash is kept", async () => {
    let agent: Agent | undefined;
    ingest.agents.answer = async (given) => {
      agent = given;
      return { result: "accepted", kind: "agent", id: given.host_id, version: 1 };
    };
    const answer = await enrol(asked);
    expect(answer.status).toBe(201);
    const given = answer.body.credential ?? "";
    expect(Buffer.from(given, "base64url")).toHaveLength(32);
    expect(agent).toMatchObject({
      host_id: "host-2",
      host_name: "two",
      credential_sha256: createHash("sha256").update(given).digest("hex"),
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect((await ingest.post("/v1/telemetry", telemetryWire({ host_id: "host-2" }), asHost("host-2", given))).status).toBe(200);
  });

  test("gives another credential each time, and the one before ends", async () => {
    const { body } = await enrol({ ...asked, host_id });
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect((await ingest.post("/v1/telemetry", telemetryWire(), asHost(host_id, body.credential))).status).toBe(200);
    expect((await ingest.post("/v1/telemetry", telemetryWire(), asHost(host_id, credential))).status).toBe(401);
    expect((await enrol({ ...asked, host_id })).body.credential).not.toBe(body.credential);
  });

  test("needs the secret", async () => {
    const answer = await enrol({ ...asked, secret: "another secret of this" });
    expect(answer).toMatchObject({ status: 401, body: { error: { code: "unauthorized" } } });
    expect(await ingest.metric('assay_ingest_enrolments_total{result="refused"}')).toBe(1);
  });

  test.each([
    ["is no JSON", `{"secret": "${enrol_secret}`, "the body is not JSON"],
    ["is no object", "3", "the body is not a JSON object"],
    ["has no host", JSON.stringify({ ...asked, host_id: undefined }), "host_id is not"],
    ["has a host id that no header can carry", JSON.stringify({ ...asked, host_id: "a\nb" }), "host_id is not"],
    ["has a long host name", JSON.stringify({ ...asked, host_name: "x".repeat(256) }), "host_name is not"],
    ["is long", JSON.stringify({ ...asked, host_name: "x".repeat(20_000) }), "above the limit of 16384 bytes"],
  ])("refuses a body that %s, without repeating the secret", async (_, body, message) => {
    const answer = await ingest.post("/v1/enrol", body, { "content-type": "application/json" });
    expect([400, 413]).toContain(answer.status);
    expect(answer.body.error?.message).toContain(message);
    expect(JSON.stringify(answer)).not.toContain(enrol_secret);
  });

  test("passes on what the coordinator refuses", async () => {
    ingest.agents.answer = async () => ({ result: "rejected", reason: "invalid", detail: "no such host" });
    expect(await enrol(asked)).toMatchObject({ status: 409, body: { error: { code: "invalid", message: "no such host" } } });
  });

  test("asks the agent to come back when the coordinator doesn't answer", async () => {
    ingest.agents.answer = () => Promise.reject(new NoAnswerError("no answer to enrol_agent within 15000 ms"));
    expect(await enrol(asked)).toMatchObject({
      status: 503,
      retry_after: "5",
      body: { error: { message: expect.stringContaining("no answer") } },
    });
    expect(await ingest.metric('assay_ingest_enrolments_total{result="failed"}')).toBe(1);
  });
});

test("enrolment is off without a secret", async () => {
  ingest = await givenIngest({ settings: { enrol_secret: undefined } });
  expect(await enrol(asked)).toMatchObject({ status: 403, body: { error: { code: "enrolment_off" } } });
});
