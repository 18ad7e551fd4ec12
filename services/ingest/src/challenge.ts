/**
 * Challenges of enrolments: an agent's proof fits one of them, so that it can't be shown again later. None is kept: each carries the
 * time at which it was made, under a key of this process. So only the ingest that gave a challenge takes it; an agent that a load
 * balancer brought to another one asks again.
 */
import { createHmac, randomBytes } from "node:crypto";
import { sameSecret, sha256 } from "./authenticate";
import { challenge_age_ms_max } from "./settings";

export class Challenges {
  private readonly key = randomBytes(challenge_key_bytes);

  /** now: milliseconds that only grow. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  make(): string {
    const content = `${Math.floor(this.now())}.${randomBytes(challenge_bytes).toString("base64url")}`;
    return `${content}.${this.sign(content)}`;
  }

  /** Whether it was made here, and lately. */
  takes(challenge: string): boolean {
    const end = challenge.lastIndexOf(".");
    const content = challenge.slice(0, Math.max(0, end));
    if (!sameSecret(sha256(challenge.slice(end + 1)), sha256(this.sign(content)))) return false;
    return this.now() - Number(content.slice(0, content.indexOf("."))) <= challenge_age_ms_max;
  }

  private sign(content: string): string {
    return createHmac("sha256", this.key).update(content).digest("base64url");
  }
}

const challenge_key_bytes = 32;
const challenge_bytes = 16;
