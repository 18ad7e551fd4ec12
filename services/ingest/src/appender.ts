/** Appends to the log for one request, and turns what may go wrong there into answers and readiness. */
import type { Logger } from "@assay/runtime/logger";
import type { Readiness } from "@assay/runtime/service";
import { type Log, LogFullError, type NewRecord, RecordTooLargeError } from "@assay/stream/log";
import type { IngestMetrics } from "./metrics";
import { type Reply, refusal } from "./reply";
import { append_wait_ms_max, failed_retry_s, log_full_retry_s } from "./settings";

export class Appender {
  private failing: string | undefined;

  constructor(
    private readonly log: Log,
    private readonly metrics: Pick<IngestMetrics, "append">,
    private readonly logger: Logger,
    private readonly wait_ms_max = append_wait_ms_max,
  ) {}

  /** "durable", or what to answer where it isn't. RecordTooLargeError: this record never will be. */
  async append(record: NewRecord): Promise<"durable" | RecordTooLargeError | Reply> {
    const done = this.metrics.append.startTimer();
    try {
      await this.inTime(this.log.append([record]));
    } catch (error) {
      if (error instanceof RecordTooLargeError) return error;
      return this.failed(error as Error);
    }
    done();
    if (this.failing !== undefined) this.logger.info("the log takes records again");
    this.failing = undefined;
    return "durable";
  }

  /** A log that is away keeps trying for longer than an agent waits. What it appends after all comes a second time, and is dropped by its seq. */
  private async inTime(appended: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `no answer within ${this.wait_ms_max} ms (append_wait_ms_max)`;
      timer = setTimeout(() => reject(new Error(message)), this.wait_ms_max);
    });
    try {
      await Promise.race([appended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether the last append went well. */
  ready(): Readiness {
    return this.failing === undefined ? { ready: true } : { ready: false, reason: this.failing };
  }

  /** Logged when it begins, not for each of the requests that meet it. */
  private failed(error: Error): Reply {
    const isFull = error instanceof LogFullError;
    if (this.failing === undefined) this.logger.error({ error }, isFull ? "the log is full" : "can't append to the log");
    this.failing = `${isFull ? "the log is full" : "can't append to the log"}: ${error.message}`;
    const message = `${this.failing}; keep the record and send it again`;
    return isFull ? refusal(507, "log_full", message, log_full_retry_s) : refusal(503, "append_failed", message, failed_retry_s);
  }
}
