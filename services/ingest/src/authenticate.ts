/**
 * Which host a request speaks for: `x-assay-host` names it, `Authorization: Bearer` proves it. Judged from the headers alone,
 * before any of the body is read.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { AgentDirectory } from "./agent-directory";
import { type Reply, refusal } from "./reply";
import { control_age_ms_max, control_reread_ms_min, failed_retry_s } from "./settings";

export class Authenticator {
  private readAt = Number.NEGATIVE_INFINITY;

  /** now: milliseconds that only grow. */
  constructor(
    private readonly agents: AgentDirectory,
    private readonly now: () => number = () => performance.now(),
  ) {}

  async hostOf(headers: IncomingHttpHeaders): Promise<{ readonly host_id: string } | Reply> {
    const host = headers["x-assay-host"];
    const credential = /^Bearer ([\w-]{20,200})$/.exec(headers.authorization ?? "")?.[1];
    if (typeof host !== "string" || credential === undefined) {
      return refusal(401, "unauthorized", "a request needs Authorization: Bearer <credential> and x-assay-host: <host id>");
    }
    try {
      await this.readControl(control_age_ms_max);
      if (this.fits(host, credential)) return { host_id: host };
      await this.readControl(control_reread_ms_min);
    } catch (error) {
      return refusal(503, "control_unreadable", `can't read which agents there are: ${(error as Error).message}`, failed_retry_s);
    }
    if (this.fits(host, credential)) return { host_id: host };
    return refusal(401, "unauthorized", "the credential isn't this host's: enrol the agent again, or check x-assay-host");
  }

  private async readControl(age_ms_max: number): Promise<void> {
    const asked = this.now();
    if (asked - this.readAt <= age_ms_max) return;
    await this.agents.refresh();
    this.readAt = asked;
  }

  private fits(host: string, credential: string): boolean {
    const known = this.agents.credentialHash(host);
    // An unknown host costs the same comparison as a known one.
    return sameSecret(sha256(credential), Buffer.from(known ?? "00".repeat(32), "hex")) && known !== undefined;
  }
}

export function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** In constant time, over hashes, which are of one length. */
export function sameSecret(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
