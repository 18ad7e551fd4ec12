/** How much of what a host sent in vain is kept as dead letters: two buckets a host, of letters and of bytes, that fill evenly. */
import type { Logger } from "@assay/runtime/logger";
import { dead_letter_hosts_max, host_dead_letter_bytes_per_minute_max, host_dead_letters_per_minute_max } from "./settings";

export class DeadLetterAllowance {
  /** Of hosts that have less than all of it. */
  private readonly buckets = new Map<string, Bucket>();

  /** now: milliseconds that only grow. */
  constructor(
    private readonly logger: Pick<Logger, "warn">,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Whether a dead letter of this size may be kept; then it counts against the host's allowance. */
  take(host_id: string, bytes: number): boolean {
    const now = this.now();
    const bucket = this.bucketOf(host_id, now);
    if (bucket === undefined) return false;
    fill(bucket, now);
    if (bucket.letters < 1 || bucket.bytes < bytes) {
      this.tell(host_id, bucket, now);
      return false;
    }
    bucket.letters -= 1;
    bucket.bytes -= bytes;
    return true;
  }

  /** Undefined where too many hosts have used of theirs. */
  private bucketOf(host_id: string, now: number): Bucket | undefined {
    const known = this.buckets.get(host_id);
    if (known !== undefined) return known;
    if (this.buckets.size >= dead_letter_hosts_max) this.forgetFull(now);
    if (this.buckets.size >= dead_letter_hosts_max) return undefined;
    const bucket = {
      letters: host_dead_letters_per_minute_max,
      bytes: host_dead_letter_bytes_per_minute_max,
      filled_at: now,
      told_at: Number.NEGATIVE_INFINITY,
    };
    this.buckets.set(host_id, bucket);
    return bucket;
  }

  private forgetFull(now: number): void {
    for (const [host_id, bucket] of this.buckets) if (now - bucket.filled_at >= minute_ms) this.buckets.delete(host_id);
  }

  /** Once a minute: not for each of the requests that meet it. */
  private tell(host_id: string, bucket: Bucket, now: number): void {
    if (now - bucket.told_at < minute_ms) return;
    bucket.told_at = now;
    this.logger.warn(
      { host_id, host_dead_letters_per_minute_max, host_dead_letter_bytes_per_minute_max },
      "a host sends so much that can't be used that not all of it is kept as dead letters",
    );
  }
}

interface Bucket {
  letters: number;
  bytes: number;
  filled_at: number;
  told_at: number;
}

function fill(bucket: Bucket, now: number): void {
  const share = (now - bucket.filled_at) / minute_ms;
  bucket.letters = Math.min(host_dead_letters_per_minute_max, bucket.letters + share * host_dead_letters_per_minute_max);
  bucket.bytes = Math.min(host_dead_letter_bytes_per_minute_max, bucket.bytes + share * host_dead_letter_bytes_per_minute_max);
  bucket.filled_at = now;
}

const minute_ms = 60_000;
