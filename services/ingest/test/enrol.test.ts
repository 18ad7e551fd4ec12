import { createHash } from "node:crypto";
import { NoAnswerError } from "@assay/control/ask";
import type { Agent } from "@assay/control/entities";
import { Challenges } from "@assay/ingest/challenge";
import { challenge_age_ms_max, challenge_ahead_ms_max } from "@assay/ingest/settings";
import { type Enrolment, enrolmentProof, isEnrolmentProof, proven } from "@assay/schemas/enrolment";
import { asHost, credential, enrol_secret, type GivenIngest, givenIngest, host_id, telemetryWire } from "./given-ingest";

let ingest: GivenIngest;
afterEach(() => ingest.stop());
const enrol = (body: unknown) => ingest.post("/v1/enrol", JSON.stringify(body), { "content-type": "application/json" });
const challenge = async () => (await ingest.post("/v1/enrol/challenge", "{}")).body.challenge ?? "";
const made = "m".repeat(43);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

const unchallenged = { host_id: "host-2", host_name: "two", agent_version: "0.1.0", credential_sha256: sha256(made) };

async function enrolment(changes: Partial<Enrolment> = {}): Promise<Enrolment> {
  return { ...unchallenged, challenge: await challenge(), ...changes };
}
const asked = async (changes: Partial<Enrolment> = {}) => proven(enrol_secret, await enrolment(changes));

describe("enrolment", () => {
  beforeEach(async () => {
    ingest = await givenIngest();
  });

  test("enters the hash of the credential that the agent made, which works at once, and proves the secret in return", async () => {
    let agent: Agent | undefined;
    ingest.agents.answer = async (given) => {
      agent = given;
      return { result: "accepted", kind: "agent", id: given.host_id, version: 1 };
    };
    const { proof, ...enrolled } = await asked();
    const answer = await enrol({ ...enrolled, proof });
    expect(answer.status).toBe(201);
    expect(isEnrolmentProof(enrol_secret, "ingest", enrolled, answer.body.proof ?? "")).toBe(true);
    expect(answer.body.proof).not.toBe(proof);
    expect(agent).toMatchObject({ host_id: "host-2", host_name: "two", credential_sha256: sha256(made) });
    expect((await ingest.post("/v1/telemetry", telemetryWire({ host_id: "host-2" }), asHost("host-2", made))).status).toBe(200);
  });

  test("ends the credential that the host had before", async () => {
    expect((await enrol(await asked({ host_id }))).status).toBe(201);
    expect((await ingest.post("/v1/telemetry", telemetryWire(), asHost(host_id, made))).status).toBe(200);
    expect((await ingest.post("/v1/telemetry", telemetryWire(), asHost(host_id, credential))).status).toBe(401);
  });

  test.each<[string, () => Promise<object>]>([
    ["of another secret", async () => proven("another secret of this", await enrolment())],
    ["of ingest's own", async () => ({ ...(await enrolment()), proof: (await enrol(await asked())).body.proof })],
    ["for another host", async () => ({ ...(await asked()), host_id })],
    ["for another credential", async () => ({ ...(await asked()), credential_sha256: sha256("theirs") })],
    ["for another challenge", async () => ({ ...(await asked()), challenge: await challenge() })],
    ["of no form", async () => ({ ...(await asked()), proof: "" })],
    ["that is the secret itself", async () => ({ ...(await asked()), proof: enrol_secret })],
    ["that is missing", async () => ({ ...(await enrolment()), secret: enrol_secret })],
  ])("refuses a proof %s", async (_, body) => {
    const given = await body();
    const before = await ingest.metric('assay_ingest_enrolments_total{result="refused"}');
    const answer = await enrol(given);
    expect(answer).toMatchObject({ status: 401, body: { error: { code: "unauthorized" } } });
    expect(answer.body.error?.message).toContain("ASSAY_ENROL_SECRET");
    expect(await ingest.metric('assay_ingest_enrolments_total{result="refused"}')).toBe((before ?? 0) + 1);
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
  });

  test.each<[string, () => Promise<string>]>([
    ["that it never gave", async () => "1.guess.guess"],
    ["without a form", async () => ""],
    ["of a later time than it gave", async () => `9${await challenge()}`],
    ["of another secret", async () => new Challenges("another secret of this").make()],
  ])("refuses a challenge %s", async (_, made_up) => {
    expect(await enrol(await asked({ challenge: await made_up() }))).toMatchObject({
      status: 401,
      body: { error: { code: "stale_challenge", message: expect.stringContaining("challenge_age_ms_max") } },
    });
  });

  test.each<[string, () => Promise<string>, string]>([
    ["is no JSON", async () => `{"proof": "${"p".repeat(64)}`, "the body is not JSON"],
    ["is no object", async () => "3", "the body is not a JSON object"],
    ["has no host", async () => JSON.stringify({ ...(await asked()), host_id: undefined }), "host_id is not"],
    ["has a host id that no header can carry", async () => JSON.stringify(await asked({ host_id: "a\nb" })), "host_id is not"],
    ["has a long host name", async () => JSON.stringify(await asked({ host_name: "x".repeat(256) })), "host_name is not"],
    ["has a hash that is none", async () => JSON.stringify(await asked({ credential_sha256: made })), "credential_sha256 is not"],
    ["is long", async () => JSON.stringify(await asked({ host_name: "x".repeat(20_000) })), "above the limit of 16384 bytes"],
  ])("refuses a body that %s", async (_, body, message) => {
    const answer = await ingest.post("/v1/enrol", await body(), { "content-type": "application/json" });
    expect([400, 413]).toContain(answer.status);
    expect(answer.body.error?.message).toContain(message);
  });

  test("passes on what the coordinator refuses", async () => {
    ingest.agents.answer = async () => ({ result: "rejected", reason: "invalid", detail: "no such host" });
    expect(await enrol(await asked())).toMatchObject({
      status: 409,
      body: { error: { code: "invalid", message: "no such host" } },
    });
  });

  test("asks the agent to come back when the coordinator doesn't answer", async () => {
    ingest.agents.answer = () => Promise.reject(new NoAnswerError("no answer to enrol_agent within 15000 ms"));
    expect(await enrol(await asked())).toMatchObject({
      status: 503,
      retry_after: "5",
      body: { error: { message: expect.stringContaining("no answer") } },
    });
    expect(await ingest.metric('assay_ingest_enrolments_total{result="failed"}')).toBe(1);
  });
});

test("enrolment is off without a secret", async () => {
  ingest = await givenIngest({ settings: { enrol_secret: undefined } });
  const off = { status: 403, body: { error: { code: "enrolment_off" } } };
  expect(await ingest.post("/v1/enrol/challenge", "{}")).toMatchObject(off);
  expect(await enrol({ host_id: "host-2", proof: "" })).toMatchObject(off);
});

test("a challenge is taken until it is too old, and of a clock that is a little ahead", async () => {
  ingest = await givenIngest();
  const made_at = 5_000_000;
  const given = new Challenges(enrol_secret, () => made_at).make();
  const takenAt = (now: number) => new Challenges(enrol_secret, () => now).takes(given);
  expect(takenAt(made_at + challenge_age_ms_max)).toBe(true);
  expect(takenAt(made_at + challenge_age_ms_max + 1)).toBe(false);
  expect(takenAt(made_at - challenge_ahead_ms_max)).toBe(true);
  expect(takenAt(made_at - challenge_ahead_ms_max - 1)).toBe(false);
});

test("behind a proxy that takes turns one ingest gives the challenge and another takes it", async () => {
  ingest = await givenIngest();
  const other = await givenIngest();
  try {
    for (const [gives, takes] of [
      [ingest, other],
      [other, ingest],
    ] as const) {
      const given = (await gives.post("/v1/enrol/challenge", "{}")).body.challenge ?? "";
      const body = proven(enrol_secret, { ...unchallenged, challenge: given });
      expect(await takes.post("/v1/enrol", JSON.stringify(body), { "content-type": "application/json" })).toMatchObject({
        status: 201,
      });
    }
  } finally {
    await other.stop();
  }
});

test("the proofs stay what they are: agents of other versions compute them too", async () => {
  ingest = await givenIngest();
  const given = { host_id: "h", host_name: "n", agent_version: "1", credential_sha256: "0".repeat(64), challenge: "c" };
  expect([enrolmentProof("s", "agent", given), enrolmentProof("s", "ingest", given)]).toEqual([
    "5d042b5e6a6500abcf8a43226ceb99a67435e169ae012d1f98a2220a66de0e4b",
    "824311bbdf6d165cff2e3547d444ff534c0d901bad492af5b41b98224096a403",
  ]);
});
