/** Cuts what the collectors told into numbered batches and hands them to the spool; without events a batch says that all is well. */
import type { CollectorState, TelemetryBatch } from "@assay/schemas/generated/types";
import type { DropCounts } from "./drop-counts";
import type { Events } from "./events";
import type { Spool } from "./spool";

export interface BatcherOptions {
  readonly events: Events;
  readonly drops: DropCounts;
  readonly spool: Spool;
  readonly heading: Pick<TelemetryBatch, "host_id" | "host_name" | "agent_version" | "incarnation" | "tags">;
  /** Through when all collectors have told everything. */
  readonly completeThrough: () => number;
  readonly observedFrom: () => number;
  readonly collectors: () => CollectorState[];
  readonly now: () => number;
}

export class Batcher {
  private seq = 0;
  private complete_through = 0;

  constructor(private readonly options: BatcherOptions) {}

  flush(): void {
    const { events, spool } = this.options;
    // Behind a backlog a batch that says nothing new only takes space: the next one with events says the same.
    if (events.size === 0 && spool.waitingBatches > backlog_batches) return;
    do this.cut();
    while (events.size > 0);
  }

  private cut(): void {
    const { events, drops, spool, heading, now } = this.options;
    const complete = this.options.completeThrough();
    const { processes, connections, listeners, earliest_left } = events.take();
    const observed_from = this.options.observedFrom();
    // Batches of one flush are complete as far as what still waits begins; before observed_from there is nothing to tell.
    this.complete_through = Math.max(this.complete_through, Math.min(complete, earliest_left ?? complete), observed_from);
    this.seq++;
    spool.addTelemetry({
      ...heading,
      seq: this.seq,
      sent_at: now(),
      observed_from,
      complete_through: this.complete_through,
      processes,
      connections,
      listeners,
      collectors: this.options.collectors(),
      drops: drops.take(),
    });
  }
}

const backlog_batches = 2;
