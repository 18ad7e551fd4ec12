/**
 * How many requests are in hand: past the limit they are sent away, not queued. A request is in hand until its answer has left or its
 * reader has gone, and no work for it goes on either: a reader who gives up and asks again doesn't stop the query that runs for him.
 */
import type { NextFunction, Request, Response } from "express";
import type { ReportApiMetrics } from "../metrics";
import { overloaded_retry_s, reportApiSettings } from "../settings";
import { Problem } from "./problem";

export class Gate {
  private inFlight = 0;
  private readonly work = new WeakMap<Response, Promise<void>>();

  constructor(
    private readonly requests_in_flight_max: number,
    private readonly metrics: Pick<ReportApiMetrics, "inFlight" | "refused">,
  ) {}

  /** Middleware, before anything that waits. */
  readonly enter = (_request: Request, response: Response, next: NextFunction): void => {
    if (this.inFlight >= this.requests_in_flight_max) {
      this.metrics.refused("overloaded");
      const limit = `which is the limit (${reportApiSettings.requests_in_flight_max.variable})`;
      throw new Problem("overloaded", `${this.inFlight} requests are in hand, ${limit}`, [], {
        "retry-after": String(overloaded_retry_s),
      });
    }
    this.count(1);
    response.once("close", () => void this.leave(response));
    next();
  };

  /** The work for the answer, as it goes on; rejects as it does. */
  during(response: Response, work: Promise<void>): Promise<void> {
    this.work.set(response, work);
    return work;
  }

  private async leave(response: Response): Promise<void> {
    await Promise.allSettled([this.work.get(response)]);
    this.count(-1);
  }

  private count(change: 1 | -1): void {
    this.inFlight += change;
    this.metrics.inFlight(this.inFlight);
  }
}
