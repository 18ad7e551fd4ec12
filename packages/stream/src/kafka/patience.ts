/**
 * Waiting for brokers that are away: the same again with growing pauses, up to retry_wait_ms, and telling that it is so. One of these for a
 * log, so that readiness can say what it waits for.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { isTransient } from "./errors";
import type { KafkaLogLogger } from "./options";

export interface Attempts {
  /** What is being tried, for messages: "an append to assay.telemetry". */
  readonly what: string;
  /** Awaited before each further attempt: learns leaders anew. Its failure is as good as the attempt's. */
  readonly recover?: () => Promise<void>;
  /** Ends the trying early: what it is for is over. */
  readonly isOver?: () => boolean;
}

export class Patience {
  private readonly closing = new AbortController();
  private readonly troubles = new Map<object, Trouble>();

  constructor(
    private readonly retry_wait_ms: number,
    private readonly logger: KafkaLogLogger | undefined,
  ) {
    setMaxListeners(0, this.closing.signal); // one for each partition that waits
  }

  /** Resolves as work does. Rejects with what can't be mended by waiting, or once it was tried for retry_wait_ms. */
  async untilKnown<T>(work: () => Promise<T>, { what, recover, isOver }: Attempts): Promise<T> {
    let trouble: Trouble | undefined;
    try {
      for (let tries = 1; ; tries++) {
        try {
          if (tries > 1) await recover?.();
          return await work();
        } catch (error) {
          if (this.closing.signal.aborted || isOver?.() || !isTransient(error)) throw error;
          trouble ??= this.begin(what);
          this.tell(trouble, error);
          const away_ms = performance.now() - trouble.since;
          if (away_ms >= this.retry_wait_ms) throw new GivenUpError(what, away_ms, this.retry_wait_ms, error);
          await this.pause(tries);
        }
      }
    } finally {
      if (trouble) this.end(trouble);
    }
  }

  /** A growing pause; ends at once when the log is closed. */
  async pause(tries: number): Promise<void> {
    const longest_ms = Math.min(pause_ms_max, pause_ms_min * 2 ** Math.min(tries - 1, 16));
    const pause_ms = longest_ms * (0.5 + Math.random() / 2);
    await sleep(pause_ms, undefined, { signal: this.closing.signal }).catch(() => undefined); // closed: the next attempt says so
  }

  begin(what: string): Trouble {
    const trouble = { what, since: performance.now(), told_at: undefined, error: undefined };
    this.troubles.set(trouble, trouble);
    return trouble;
  }

  tell(trouble: Trouble, error: unknown): void {
    trouble.error = error;
    const now = performance.now();
    if (trouble.told_at !== undefined && now - trouble.told_at < told_every_ms) return;
    if (trouble.told_at === undefined && now - trouble.since < quiet_ms) return; // a leader moved: nothing that anybody must know
    trouble.told_at = now;
    const away_ms = Math.round(now - trouble.since);
    this.logger?.warn({ error, away_ms, retry_wait_ms: this.retry_wait_ms }, `${trouble.what} has to wait for Kafka`);
  }

  end(trouble: Trouble): void {
    this.troubles.delete(trouble);
    if (trouble.told_at === undefined) return;
    this.logger?.info({ away_ms: Math.round(performance.now() - trouble.since) }, `${trouble.what} no longer waits for Kafka`);
  }

  ready(): { readonly ready: true } | { readonly ready: false; readonly reason: string } {
    const now = performance.now();
    for (const { what, since, error } of this.troubles.values()) {
      if (now - since < quiet_ms) continue;
      const why = error instanceof Error ? error.message : String(error);
      return { ready: false, reason: `${what} has been waiting for Kafka for ${Math.round((now - since) / 1_000)} s: ${why}` };
    }
    return { ready: true };
  }

  /** Ends all pauses; what fails from now on isn't tried again. */
  close(): void {
    this.closing.abort();
  }
}

export interface Trouble {
  readonly what: string;
  readonly since: number;
  told_at: number | undefined;
  error: unknown;
}

/** Whether it came about is unknown. */
export class GivenUpError extends Error {
  override readonly name = "GivenUpError";

  constructor(what: string, away_ms: number, retry_wait_ms: number, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(
      `${what} was given up after ${Math.round(away_ms)} ms; brokers may be away for ${retry_wait_ms} ms (ASSAY_KAFKA_RETRY_MS): ${why}`,
      { cause },
    );
  }
}

const pause_ms_min = 50;
const pause_ms_max = 2_000;
const told_every_ms = 10_000;
const quiet_ms = 3_000;
