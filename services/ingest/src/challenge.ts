/**
 * Challenges of enrolments: an agent's proof fits one of them, so that it can't be shown again later. None is kept: each carries the
 * time at which it was made, under a key that every ingest with the same secret has. So any of them takes what another gave, as
 * behind a load balancer. Their clocks may differ by challenge_ahead_ms_max.
 */
import { createHmac, randomBytes, scryptSync } from "node:crypto";
import { sameSecret, sha256 } from "./authenticate";
import { challenge_age_ms_max, challenge_ahead_ms_max } from "./settings";

export class Challenges {
  private readonly key: Buffer;

  /** now: ms since 1970. */
  constructor(
    enrol_secret: string,
    private readonly now: () => number = Date.now,
  ) {
    // Slow, since anybody may have a challenge, against which a secret that people made up could be tried.
    this.key = scryptSync(enrol_secret, key_purpose, key_bytes);
  }

  make(): string {
    const content = `${this.now()}.${randomBytes(challenge_bytes).toString("base64url")}`;
    return `${content}.${this.sign(content)}`;
  }

  /** Whether it was made with the same secret, and lately. */
  takes(challenge: string): boolean {
    const end = challenge.lastIndexOf(".");
    const content = challenge.slice(0, Math.max(0, end));
    if (!sameSecret(sha256(challenge.slice(end + 1)), sha256(this.sign(content)))) return false;
    const age_ms = this.now() - Number(content.slice(0, content.indexOf(".")));
    return age_ms <= challenge_age_ms_max && age_ms >= -challenge_ahead_ms_max;
  }

  private sign(content: string): string {
    return createHmac("sha256", this.key).update(content).digest("base64url");
  }
}

const key_purpose = "assay enrolment challenge 1";
const key_bytes = 32;
const challenge_bytes = 16;
