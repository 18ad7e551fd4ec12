/**
 * Gets the agent a credential of its own, in two requests. The secret itself is never sent, and the credential is made here, so that
 * only its hash is: whoever answers on ingest's port in ingest's place learns neither. The credential counts once the answer proves
 * that ingest knows the secret too. See @assay/schemas/enrolment.
 */
import { createHash, randomBytes } from "node:crypto";
import { type Enrolment, isEnrolmentProof, proven } from "@assay/schemas/enrolment";
import type { Answer, HttpClient } from "./http-client";

export type Enrolled =
  | { readonly kind: "enrolled"; readonly credential: string }
  /** What was answered, and what is wrong with it. */
  | { readonly kind: "refused"; readonly answer: Answer };

export type Who = Pick<Enrolment, "host_id" | "host_name" | "agent_version">;

/** Rejects where no answer comes. */
export async function enrol(client: Pick<HttpClient, "post">, secret: string, who: Who, signal: AbortSignal): Promise<Enrolled> {
  const ask = (path: string, body: object) =>
    client.post(path, { "content-type": "application/json" }, Buffer.from(JSON.stringify(body)), signal);

  const challenged = await ask("/v1/enrol/challenge", {});
  if (!isSuccess(challenged)) return { kind: "refused", answer: challenged };
  const challenge = field(challenged.body, (answer) => answer.challenge);
  if (typeof challenge !== "string") return refused(challenged, "the answer holds no challenge");

  const credential = randomBytes(credential_bytes).toString("base64url");
  const credential_sha256 = createHash("sha256").update(credential).digest("hex");
  const enrolment = { ...who, credential_sha256, challenge };
  const answer = await ask("/v1/enrol", proven(secret, enrolment));
  if (!isSuccess(answer)) return { kind: "refused", answer };
  const proof = field(answer.body, ({ proof }) => proof);
  if (typeof proof !== "string" || !isEnrolmentProof(secret, "ingest", enrolment, proof)) return refused(answer, unproven);
  return { kind: "enrolled", credential };
}

/** Of a JSON object; undefined where it is none. */
export function field(body: string, pick: (answer: Readonly<Record<string, unknown>>) => unknown): unknown {
  try {
    const answer: unknown = JSON.parse(body);
    return typeof answer === "object" && answer !== null ? pick(answer as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // an answer that says nothing of it
  }
}

function isSuccess({ status }: Answer): boolean {
  return status >= 200 && status < 300;
}

function refused(answer: Answer, body: string): Enrolled {
  return { kind: "refused", answer: { ...answer, body } };
}

const unproven =
  "the answer doesn't prove the secret that the agent has (ASSAY_AGENT_ENROL_SECRET): is it ingest that answers at this address " +
  "(ASSAY_AGENT_INGEST_URL)?";
const credential_bytes = 32;
