/** How late the event loops of the services were under load, as /metrics tells it. */

/** A reading covers what came since the one that is at least this old, so two readings apart by it are independent. */
const reading_covers_ms = 10_500;

export class LoopDelays {
  private readonly worst_ms = new Map<string, number>();

  constructor(private readonly metrics_url: string) {}

  /** Reads as often as readings are independent; the first one is left out, since a start may be in it. */
  async watchFor(duration_ms: number): Promise<void> {
    await this.read();
    for (const end = Date.now() + duration_ms; Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, reading_covers_ms));
      for (const [service, ms] of await this.read()) this.worst_ms.set(service, Math.max(ms, this.worst_ms.get(service) ?? 0));
    }
  }

  /** The worst of the readings, by service. */
  p99_ms(): ReadonlyMap<string, number> {
    return this.worst_ms;
  }

  private async read(): Promise<Map<string, number>> {
    const text = await (await fetch(`${this.metrics_url}/metrics`)).text();
    const delays = new Map<string, number>();
    for (const match of text.matchAll(/^assay_(\w+?)_event_loop_delay_seconds\{[^}]*quantile="0\.99"[^}]*\} (\S+)$/gm)) {
      const [, service = "", seconds] = match;
      delays.set(service, Number(seconds) * 1_000);
    }
    return delays;
  }
}
