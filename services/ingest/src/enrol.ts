/**
 * POST /v1/enrol: an agent that proves the enrolment secret has the hash of a credential that it made entered for the host that it
 * names; an earlier credential of that host ends with it. Neither the secret nor the credential is ever sent here: see
 * @assay/schemas/enrolment, which says how both sides prove what they know.
 */
import type { IncomingMessage } from "node:http";
import type { Answer } from "@assay/control/entities";
import type { Logger } from "@assay/runtime/logger";
import { type Enrolment, enrolmentProof, isEnrolmentProof } from "@assay/schemas/enrolment";
import type { AgentDirectory } from "./agent-directory";
import { Challenges } from "./challenge";
import type { IngestMetrics } from "./metrics";
import { type BodyLimits, readBody } from "./read-body";
import type { Reply } from "./reply";
import {
  challenge_age_ms_max,
  enrol_body_bytes_max,
  enrolments_in_flight_max,
  failed_retry_s,
  overloaded_retry_s,
} from "./settings";

export class Enroller {
  private inFlight = 0;
  private readonly challenges: Challenges | undefined;

  constructor(
    private readonly enrol_secret: string | undefined,
    private readonly agents: AgentDirectory,
    private readonly metrics: Pick<IngestMetrics, "enrolments">,
    private readonly logger: Logger,
  ) {
    this.challenges = enrol_secret === undefined ? undefined : new Challenges(enrol_secret);
  }

  /** POST /v1/enrol/challenge: anybody may have one. */
  async challenge(): Promise<Reply> {
    if (this.challenges === undefined) return this.off();
    return { status: 200, body: { challenge: this.challenges.make() } };
  }

  async enrol(request: IncomingMessage): Promise<Reply> {
    if (this.enrol_secret === undefined || this.challenges === undefined) return this.off();
    const body = await readBody(request, bodyLimits);
    if (body.kind === "gone") return this.refused(400, "gone", "the asker went away");
    if (body.kind === "refused") return this.refused(body.reason === "out_of_bounds" ? 413 : 400, body.reason, body.detail);
    const asked = parseEnrolment(body.bytes);
    if (asked === "unproven") return this.unproven();
    if (typeof asked === "string") return this.refused(400, "invalid_body", asked);
    if (!this.challenges.takes(asked.challenge)) {
      const message = `the challenge is none that an ingest with this secret gave in the last ${challenge_age_ms_max} ms (challenge_age_ms_max): ask for another`;
      return this.refused(401, "stale_challenge", message);
    }
    if (!isEnrolmentProof(this.enrol_secret, "agent", asked, asked.proof)) return this.unproven();
    if (this.inFlight >= enrolments_in_flight_max) {
      const message = `${this.inFlight} enrolments are in hand, which is the limit (enrolments_in_flight_max)`;
      return this.failed("overloaded", message, overloaded_retry_s);
    }
    this.inFlight += 1;
    try {
      return await this.grant(asked, enrolmentProof(this.enrol_secret, "ingest", asked));
    } finally {
      this.inFlight -= 1;
    }
  }

  private async grant(asked: Enrolment, proof: string): Promise<Reply> {
    const { host_id, host_name, credential_sha256 } = asked;
    let answer: Answer;
    try {
      answer = await this.agents.enrol({ host_id, host_name, credential_sha256, enrolled_at: Date.now() });
    } catch (error) {
      this.logger.error({ error, host_id }, "an agent could not be enrolled");
      return this.failed("enrolment_failed", (error as Error).message, failed_retry_s);
    }
    if (answer.result === "rejected") return this.refused(409, answer.reason, answer.detail);
    this.metrics.enrolments.inc({ result: "accepted" });
    this.logger.info({ host_id, host_name, agent_version: asked.agent_version }, "enrolled an agent");
    return { status: 201, body: { proof } };
  }

  private off(): Reply {
    return this.refused(403, "enrolment_off", "enrolment is off: no secret is set (ASSAY_ENROL_SECRET)");
  }

  private unproven(): Reply {
    return this.refused(401, "unauthorized", "there is no proof of the enrolment secret that is set (ASSAY_ENROL_SECRET)");
  }

  private refused(status: number, code: string, message: string): Reply {
    this.metrics.enrolments.inc({ result: "refused" });
    return { status, body: { error: { code, message } } };
  }

  private failed(code: string, message: string, retry_after_s: number): Reply {
    this.metrics.enrolments.inc({ result: "failed" });
    return { status: 503, body: { error: { code, message } }, retry_after_s };
  }
}

const bodyLimits: BodyLimits = {
  body_bytes_max: enrol_body_bytes_max,
  body_setting: "enrol_body_bytes_max",
  decompressed_bytes_max: enrol_body_bytes_max,
  decompressed_setting: "enrol_body_bytes_max",
};

/** Printable, and fit for a header and a record's key. */
const hostIdForm = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Or what is wrong with it. */
function parseEnrolment(bytes: Buffer): (Enrolment & { readonly proof: string }) | "unproven" | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString("utf8"));
  } catch {
    return "the body is not JSON";
  }
  if (typeof parsed !== "object" || parsed === null) return "the body is not a JSON object";
  const { host_id, host_name, agent_version, credential_sha256, challenge, proof } = parsed as Record<string, unknown>;
  if (typeof proof !== "string") return "unproven";
  if (typeof challenge !== "string") return "challenge is not a text";
  if (typeof host_id !== "string" || !hostIdForm.test(host_id)) {
    return "host_id is not a text of at most 128 characters: letters, digits, and . _ : - after the first";
  }
  if (typeof host_name !== "string" || host_name.length > 255) return "host_name is not a text of at most 255 characters";
  if (typeof agent_version !== "string" || agent_version.length > 64)
    return "agent_version is not a text of at most 64 characters";
  if (typeof credential_sha256 !== "string" || !/^[0-9a-f]{64}$/.test(credential_sha256)) {
    return "credential_sha256 is not a SHA-256 in lower-case hex";
  }
  return { host_id, host_name, agent_version, credential_sha256, challenge, proof };
}
