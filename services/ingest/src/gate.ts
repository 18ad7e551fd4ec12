/** How many requests are in hand, in all and for each host: past the limit they are sent away, not queued. */
import type { IngestMetrics } from "./metrics";
import { type Reply, refusal } from "./reply";
import { host_requests_in_flight_max, overloaded_retry_s } from "./settings";

export class Gate {
  private inFlight = 0;
  private readonly byHost = new Map<string, number>();

  constructor(
    private readonly requests_in_flight_max: number,
    private readonly metrics: Pick<IngestMetrics, "inFlight">,
  ) {}

  async pass(host_id: string, work: () => Promise<Reply>): Promise<Reply> {
    const ofHost = this.byHost.get(host_id) ?? 0;
    if (ofHost >= host_requests_in_flight_max) {
      const message = `${ofHost} requests of this host are in hand, which is the limit (host_requests_in_flight_max)`;
      return refusal(429, "overloaded", message, overloaded_retry_s);
    }
    if (this.inFlight >= this.requests_in_flight_max) {
      const message = `${this.inFlight} requests are in hand, which is the limit (ASSAY_INGEST_REQUESTS_IN_FLIGHT_MAX)`;
      return refusal(503, "overloaded", message, overloaded_retry_s);
    }
    this.count(host_id, 1);
    try {
      return await work();
    } finally {
      this.count(host_id, -1);
    }
  }

  private count(host_id: string, change: 1 | -1): void {
    this.inFlight += change;
    this.metrics.inFlight.set(this.inFlight);
    const ofHost = (this.byHost.get(host_id) ?? 0) + change;
    if (ofHost === 0) this.byHost.delete(host_id);
    else this.byHost.set(host_id, ofHost);
  }
}
