/**
 * How well a collector saw, told with each batch: failed until a poll succeeds again, partial where events told since the last
 * batch lack fields or something could not be looked into, else ok.
 */
import type { CollectorState } from "@assay/schemas/generated/types";

export class Health {
  private failure: string | undefined;
  private readonly missing = new Set<string>();
  private readonly reasons = new Set<string>();

  constructor(readonly collector: string) {}

  succeeded(): void {
    this.failure = undefined;
  }

  failed(error: Error): void {
    this.failure = error.message.slice(0, reason_length_max);
  }

  /** Fields by their Sigma names; none where whole events may be missing. Reasons are fixed texts. */
  lacks(reason: string, fields: readonly string[]): void {
    for (const field of fields) this.missing.add(field);
    this.reasons.add(reason);
  }

  /** Forgets what it tells, except a failure that lasts. */
  take(): CollectorState {
    const missing_fields = [...this.missing].sort();
    const reasons = [...this.reasons];
    this.missing.clear();
    this.reasons.clear();
    if (this.failure !== undefined) return { collector: this.collector, status: "failed", reason: this.failure, missing_fields };
    if (reasons.length > 0) return { collector: this.collector, status: "partial", reason: reasons.join("; "), missing_fields };
    return { collector: this.collector, status: "ok", reason: "", missing_fields: [] };
  }
}

const reason_length_max = 500;
