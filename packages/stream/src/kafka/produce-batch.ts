/** What waits to be appended to one partition, and the batches that it is sent in. */
import type { Appended } from "../log";
import type { Compression } from "./options";
import type { PreparedRecord } from "./prepare-records";
import { encodeRecordBatch } from "./record-batch";

/** Of one batch before compression, unless a single record is larger. Kafka's default for a topic's max.message.bytes is a little more. */
export const batch_bytes_max = 1_000_000;

export interface Identity {
  readonly producer_id: bigint;
  readonly producer_epoch: number;
  /** By topic and partition: of its next batch. */
  readonly sequences: Map<string, number>;
}

export interface Queued {
  readonly record: PreparedRecord;
  readonly bytes: number;
  readonly call: Call;
  readonly index: number;
}

/** One call of append: done when each of its records is. */
export class Call {
  failed = false;
  private readonly appended: Appended[];
  private left: number;

  constructor(
    records: number,
    private readonly resolve: (appended: readonly Appended[]) => void,
    private readonly reject: (error: unknown) => void,
  ) {
    this.left = records;
    this.appended = new Array(records);
  }

  succeed(index: number, appended: Appended): void {
    this.appended[index] = appended;
    if (--this.left === 0) this.resolve(this.appended);
  }

  fail(error: unknown): void {
    this.failed = true;
    this.reject(error);
  }
}

/** A partition with records that aren't known to be written: those of one batch, and those that wait behind it. */
export class Lane {
  /** A batch is being sent, or waits until it is sent again. */
  away = false;
  tries = 0;
  /** When the batch failed first. */
  troubled_since: number | undefined;
  /** Of all that isn't known to be written. */
  bytes = 0;
  batch: Batch | undefined;
  private queue: Queued[] = [];

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  get place(): string {
    return placeOf(this);
  }

  add(queued: Queued): void {
    this.queue.push(queued);
    this.bytes += queued.bytes;
  }

  /** The batch that is to be sent; undefined where nothing is left. What a call has left that failed elsewhere is dropped. */
  take(): Batch | undefined {
    if (this.batch) return this.batch;
    let taken = 0;
    let bytes = 0;
    const queued: Queued[] = [];
    for (const next of this.queue) {
      if (next.call.failed) this.bytes -= next.bytes;
      else if (bytes > 0 && bytes + next.bytes > batch_bytes_max) break;
      else {
        bytes += next.bytes;
        queued.push(next);
      }
      taken++;
    }
    this.queue = this.queue.slice(taken);
    if (queued.length > 0) this.batch = new Batch(this.place, this.partition, bytes, queued);
    return this.batch;
  }

  /** Its batch is done. Returns the bytes that no longer wait. */
  next(): number {
    const bytes = this.batch?.bytes ?? 0;
    this.bytes -= bytes;
    this.batch = undefined;
    this.away = false;
    this.tries = 0;
    this.troubled_since = undefined;
    return bytes;
  }
}

export function placeOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}

export class Batch {
  /** How often it may have reached a broker. */
  sends = 0;
  /** It was encoded for this one: what is sent again must be the same. */
  identity: Identity | undefined;
  private encoded: Buffer | undefined;
  private first_sequence = 0;

  constructor(
    private readonly place: string,
    private readonly partition: number,
    readonly bytes: number,
    private readonly queued: readonly Queued[],
  ) {}

  get records(): number {
    return this.queued.length;
  }

  async encode(identity: Identity, compression: Compression): Promise<Buffer> {
    if (this.encoded && this.identity) return this.encoded;
    const { producer_id, producer_epoch, sequences } = identity;
    this.first_sequence = sequences.get(this.place) ?? 0;
    const by = { producer_id, producer_epoch, first_sequence: this.first_sequence };
    this.encoded = await encodeRecordBatch(
      this.queued.map(({ record }) => record),
      compression,
      by,
    );
    this.identity = identity;
    return this.encoded;
  }

  succeed(base_offset: number): void {
    this.identity?.sequences.set(this.place, (this.first_sequence + this.records) % sequences_max);
    for (const [delta, { call, index }] of this.queued.entries()) {
      call.succeed(index, { partition: this.partition, offset: base_offset + delta });
    }
  }

  fail(error: unknown): void {
    for (const { call } of this.queued) call.fail(error);
  }
}

const sequences_max = 0x8000_0000;
