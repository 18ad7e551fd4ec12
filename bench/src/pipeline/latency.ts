/** From an event to its finding: each host has one marked event, and the first time that its finding can be read is noted. */
import { type ApiAccess, allFindings } from "@assay/cli/scenarios/scenario-api";
import { markedRules } from "@assay/cli/scenarios/synthetic-host";

const look_wait_ms = 1_000;

export class FindingWatch {
  private readonly seen_at = new Map<string, number>();
  private stopping = false;
  private readonly watching: Promise<void>;

  constructor(private readonly api: ApiAccess) {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.watching;
  }

  /** marked: times of the marked events by host. Those whose finding wasn't seen are in `missing`. */
  latencies_ms(marked: Readonly<Record<string, readonly number[]>>): { readonly found: number[]; readonly missing: number } {
    const found: number[] = [];
    let missing = 0;
    for (const [host, times] of Object.entries(marked)) {
      const seen_at = this.seen_at.get(host);
      const [first] = times;
      if (first === undefined) continue;
      if (seen_at === undefined) missing++;
      else found.push(seen_at - first);
    }
    return { found: found.sort((a, b) => a - b), missing };
  }

  private async watch(): Promise<void> {
    while (!this.stopping) {
      const findings = await allFindings(this.api, `rule=${markedRules.shell}`).catch(() => []);
      const now = Date.now();
      for (const { host_id } of findings) if (!this.seen_at.has(host_id)) this.seen_at.set(host_id, now);
      await new Promise((resolve) => setTimeout(resolve, look_wait_ms));
    }
  }
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
