/**
 * How an agent gets a credential of its own without showing the enrolment secret to anybody, over plain HTTP too:
 *
 *   POST /v1/enrol/challenge                      → 200 { challenge }
 *   POST /v1/enrol  Enrolment with its proof      → 201 { proof }
 *
 * The agent makes the credential and sends its SHA-256 alone. Both proofs are HMACs of all of this, keyed by the secret: the agent's
 * shows that it knows the secret, and fits this challenge only; ingest's shows the same of ingest, for this credential only. A
 * process that has taken ingest's port can give no such proof, and what it is sent neither holds the secret nor serves it elsewhere.
 * The agent proves first: whoever is merely able to reach ingest is given nothing against which to try secrets but a challenge, whose key is slow
 * to derive from one (ingest's challenge.ts).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

export interface Enrolment {
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  /** Hex. */
  readonly credential_sha256: string;
  /** What ingest gave. */
  readonly challenge: string;
}

/** Who proves. */
export type Prover = "agent" | "ingest";

/** Hex. */
export function enrolmentProof(secret: string, prover: Prover, enrolment: Enrolment): string {
  const { host_id, host_name, agent_version, credential_sha256, challenge } = enrolment;
  // As JSON, so that no text can be taken for the end of one field and the beginning of the next.
  const text = JSON.stringify(["assay enrolment 1", prover, challenge, host_id, host_name, agent_version, credential_sha256]);
  return createHmac("sha256", secret).update(text).digest("hex");
}

/** In constant time, over hashes, which are of one length. */
export function isEnrolmentProof(secret: string, prover: Prover, enrolment: Enrolment, given: string): boolean {
  return timingSafeEqual(sha256(enrolmentProof(secret, prover, enrolment)), sha256(given));
}

/** As the agent sends it. */
export function proven(secret: string, enrolment: Enrolment): Enrolment & { readonly proof: string } {
  return { ...enrolment, proof: enrolmentProof(secret, "agent", enrolment) };
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
