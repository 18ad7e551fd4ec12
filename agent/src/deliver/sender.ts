/**
 * Brings what waits in the spool to the log, one record at a time, by the one delivery that the agent was given.
 *
 *   idle ──something waits──▶ sending ──delivered──▶ done, next
 *                                ├── unusable: dropped and counted, next
 *                                └── away: waits, tries the same again
 */
import { type BackoffLimits, backoff_ms } from "./backoff";
import type { Delivery, Outcome } from "./delivery";
import type { DropCounts } from "./drop-counts";
import type { AgentLogger } from "./logger";
import { countLost, type Spool, type Waiting } from "./spool";

export interface SenderOptions {
  /** Closed by the sender. */
  readonly delivery: Delivery;
  readonly spool: Spool;
  readonly drops: DropCounts;
  readonly logger: AgentLogger;
  readonly retry: BackoffLimits;
  readonly now: () => number;
  readonly random: () => number;
  /** Inventory that was collected at this time, on the agent's clock, or later, is wanted. */
  readonly onInventoryWanted?: (since: number) => void;
}

export class Sender {
  private failures = 0;
  private readonly stopping = new AbortController();
  private wake: () => void = () => undefined;
  private loop: Promise<void> | undefined;
  private told = "";

  constructor(private readonly options: SenderOptions) {}

  start(): void {
    this.loop = this.run();
  }

  /** Something waits. */
  poke(): void {
    this.wake();
  }

  /** Sends what it can within the time, without waiting between attempts, then ends. */
  async stop(wait_ms: number): Promise<void> {
    const deadline = setTimeout(() => this.stopping.abort(), wait_ms);
    this.draining = true;
    this.wake();
    await this.loop;
    clearTimeout(deadline);
    await this.options.delivery.close();
  }

  private draining = false;

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const next = this.options.spool.next();
      if (!next) {
        if (this.draining) return;
        await this.sleep(undefined);
        continue;
      }
      const wait_ms = await this.attempt(next);
      if (wait_ms === 0) continue;
      if (this.draining) return; // the spool keeps it for the next start
      await this.sleep(wait_ms);
    }
  }

  /** How long to wait before the next attempt. */
  private async attempt(next: Waiting): Promise<number> {
    const { delivery, spool, drops, logger } = this.options;
    const outcome = await delivery.deliver(next, this.stopping.signal).catch(unforeseen);
    if (outcome.kind === "delivered") {
      spool.done(next);
      this.noteDelivered(outcome.inventory_age_ms_max);
      return 0;
    }
    if (outcome.kind === "unusable") {
      logger.error({ kind: next.kind, name: next.slot.name, ...outcome.fields }, outcome.message);
      // The next batch tells of it.
      if (next.kind === "telemetry") countLost(drops, next.value, outcome.counted_as);
      spool.done(next);
      return 0;
    }
    return this.stopping.signal.aborted ? 0 : this.failed(outcome);
  }

  private noteDelivered(age_ms_max: number | undefined): void {
    const { logger, spool, now } = this.options;
    if (this.failures > 0) logger.info({ failures: this.failures, waiting: spool.waitingBatches }, "batches are taken again");
    this.failures = 0;
    this.told = "";
    if (age_ms_max !== undefined) this.options.onInventoryWanted?.(now() - age_ms_max);
  }

  private failed({ message, status, reason, retry_after_ms }: Away): number {
    this.failures++;
    this.options.spool.keep();
    const { logger, retry, random } = this.options;
    const wait_ms = Math.max(backoff_ms(this.failures, retry, random()), Math.min(retry_after_ms ?? 0, retry_after_max_ms));
    const what = `${message} ${status}`;
    // Once per kind of failure: the same line each half minute helps nobody.
    if (what !== this.told) logger.warn({ status, reason, wait_ms }, message);
    this.told = what;
    return wait_ms;
  }

  private sleep(wait_ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = wait_ms === undefined ? undefined : setTimeout(() => settle(), wait_ms);
      const settle = () => {
        clearTimeout(timer);
        this.wake = () => undefined;
        resolve();
      };
      // News of more work doesn't shorten a wait after a failure; the end does.
      this.wake = () => {
        if (wait_ms === undefined || this.draining) settle();
      };
    });
  }
}

type Away = Extract<Outcome, { kind: "away" }>;

function unforeseen(error: Error): Outcome {
  return { kind: "away", message: "delivery failed", status: error.name, reason: error.message };
}

const retry_after_max_ms = 300_000;
