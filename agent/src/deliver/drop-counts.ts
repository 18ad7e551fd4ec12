/** What the agent lost since it last told: taken into the next batch, kind and reason apart. */
import type { Drop } from "@assay/schemas/generated/types";

export class DropCounts {
  private counts = new Map<string, Drop>();

  add(kind: string, reason: string, count: number): void {
    if (count <= 0) return;
    const key = `${kind} ${reason}`;
    const before = this.counts.get(key);
    this.counts.set(key, { kind, reason, count: (before?.count ?? 0) + count });
  }

  take(): Drop[] {
    const drops = [...this.counts.values()];
    this.counts = new Map();
    return drops;
  }
}
