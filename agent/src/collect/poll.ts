/**
 * Runs a collector over and over and keeps through when it has told everything: the start of its latest finished poll. Polls don't
 * overlap. One that throws is finished too, and its collector says that it failed.
 */
import type { AgentLogger } from "../deliver/logger";
import type { Health } from "./health";

export interface PollOptions {
  readonly wait_ms: number;
  readonly poll: (now: number) => void | Promise<void>;
  readonly health: Health;
  readonly now: () => number;
  readonly logger: AgentLogger;
  /** The time between two polls was so long that something has stopped the agent. */
  readonly onGap: (resumed_at: number) => void;
}

export class Poll {
  complete_through: number;
  private previous: number;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;
  private failing = false;

  constructor(private readonly options: PollOptions) {
    this.complete_through = options.now();
    this.previous = this.complete_through;
  }

  start(): Promise<void> {
    return this.run();
  }

  /** A last time, and no more. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
    await this.once();
  }

  private async run(): Promise<void> {
    const started = performance.now();
    this.running = this.once();
    await this.running;
    if (this.stopped) return;
    const spent = performance.now() - started;
    this.timer = setTimeout(() => void this.run(), restAfter(spent, this.options.wait_ms));
  }

  private async once(): Promise<void> {
    const { poll, health, now, logger, onGap, wait_ms } = this.options;
    const at = now();
    if (at - this.previous > wait_ms + gap_ms) onGap(at);
    this.previous = at;
    try {
      await poll(at);
      health.succeeded();
      this.failing = false;
    } catch (error) {
      if (!this.failing) logger.error({ error, collector: health.collector }, "collector failed");
      this.failing = true;
      health.failed(error as Error);
    }
    this.complete_through = at;
  }
}

/** The machine slept, or the agent was stopped. */
const gap_ms = 5_000;
/**
 * A collector whose polls are slow (a large host) takes a limited share of the time: it polls less often, down to a quarter.
 */
export function restAfter(spent_ms: number, wait_ms: number): number {
  const rest = Math.max(wait_ms - spent_ms, spent_ms * rest_per_work);
  return Math.max(Math.min(rest, wait_ms * stretch_max), wait_ms * rest_share_min);
}

const rest_per_work = 25;
const stretch_max = 4;
const rest_share_min = 0.5;
