/**
 * Appends by an idempotent producer of its own: one send at a time, and what comes meanwhile gathers into the next, in order of the calls.
 *
 * A send is one batch for each partition, and goes again, the very same, until the brokers have said what became of it: they know it by the
 * producer's id and the batch's sequence, and answer a repeat with the offsets of the first. When it is given up, nobody knows whether
 * it was written; a later batch under its sequence would then be dropped as a repeat, so the producer takes a new id before it sends
 * anything else.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Appended } from "../log";
import type { KafkaClient } from "./client";
import { isTransient, transient } from "./errors";
import { errorOfCode } from "./kafkajs";
import type { Compression } from "./options";
import type { Patience, Trouble } from "./patience";
import { GivenUpError } from "./patience";
import type { PreparedRecord } from "./prepare-records";
import { encodeRecordBatch, recordBytes } from "./record-batch";
import type { Produced } from "./record-requests";
import { withinTime } from "./within-time";

/** Of one batch before compression, unless a single record is larger. Kafka's default for a topic's max.message.bytes is a little more. */
export const batch_bytes_max = 1_000_000;
/** Of one send, all partitions together. */
export const send_bytes_max = 8_388_608;
const closing_wait_ms = 5_000;
/** Encoding lets the event loop turn after this long. */
const slice_ms = 5;

export class Producer {
  private queue: Queued[] = [];
  private sending: Promise<void> | undefined;
  private identity: Identity | undefined;
  private closed = false;

  constructor(
    private readonly client: Pick<KafkaClient, "leader" | "produce" | "newProducerId" | "refresh" | "reset">,
    private readonly patience: Patience,
    private readonly compression: Compression,
    private readonly retry_wait_ms: number,
  ) {}

  append(records: readonly PreparedRecord[]): Promise<readonly Appended[]> {
    if (this.closed) return Promise.reject(new Error("the log is closed"));
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const call = new Call(records.length, resolve, reject);
      for (const [index, record] of records.entries()) this.queue.push({ record, bytes: recordBytes(record), call, index });
      this.sending ??= this.sendAll();
    });
  }

  /** Lets what is being sent come to its end, for a while. */
  async close(): Promise<void> {
    this.closed = true;
    if (this.sending) await withinTime(this.sending, closing_wait_ms).catch(() => undefined); // then its callers are told
  }

  private async sendAll(): Promise<void> {
    await undefined; // calls of the same turn go together
    while (this.queue.length > 0) {
      const batches = this.takeBatches();
      await this.deliver(batches).catch((error: unknown) => {
        this.identity = undefined;
        for (const batch of batches) batch.fail(error);
      });
    }
    this.sending = undefined; // with nothing awaited since the queue was seen empty, so that no append falls between
  }

  /** From the front of the queue as much as makes one send. */
  private takeBatches(): Batch[] {
    const batches = new Map<string, Batch>();
    let taken = 0;
    let bytes = 0;
    for (const queued of this.queue) {
      const { topic, partition } = queued.record;
      const place = `${topic}/${partition}`;
      const batch = batches.get(place);
      if (bytes > 0 && bytes + queued.bytes > send_bytes_max) break;
      if (batch && batch.bytes + queued.bytes > batch_bytes_max) break;
      taken++;
      if (queued.call.failed) continue;
      bytes += queued.bytes;
      if (batch) batch.add(queued);
      else batches.set(place, new Batch(topic, partition, queued));
    }
    this.queue = this.queue.slice(taken);
    return [...batches.values()];
  }

  /** Rejects only where it is unknown what became of batches that aren't done. */
  private async deliver(batches: readonly Batch[]): Promise<void> {
    const { client, patience } = this;
    let trouble: Trouble | undefined;
    const what = `an append to ${[...new Set(batches.map(({ topic }) => topic))].join(", ")}`;
    try {
      for (let tries = 1; ; tries++) {
        let problem: unknown;
        try {
          if (tries > 1) await client.refresh();
          problem = await this.attempt(batches.filter(({ done }) => !done));
        } catch (error) {
          problem = error;
        }
        if (batches.every(({ done }) => done)) return;
        if (this.closed || !isTransient(problem)) throw problem;
        trouble ??= patience.begin(what);
        patience.tell(trouble, problem);
        const away_ms = performance.now() - trouble.since;
        if (away_ms >= this.retry_wait_ms) {
          await client.reset("an append was given up").catch(() => undefined); // what was sent must not arrive after what comes next
          throw new GivenUpError(what, away_ms, this.retry_wait_ms, problem);
        }
        await patience.pause(tries);
      }
    } finally {
      if (trouble) patience.end(trouble);
    }
  }

  /** Sends what isn't done yet; returns a problem for which it must be sent again. */
  private async attempt(batches: readonly Batch[]): Promise<unknown> {
    const { client } = this;
    this.identity ??= { ...(await client.newProducerId()), sequences: new Map() };
    const { identity } = this;
    let problem: unknown = transient("the broker left a partition out of its answer");
    const by_leader = new Map<number, Batch[]>();
    let turn_began = performance.now();
    for (const batch of batches) {
      const leader = client.leader(batch.topic, batch.partition);
      if (leader === undefined) {
        problem = transient(`partition ${batch.partition} of ${batch.topic} has no leader`);
        continue;
      }
      await batch.encode(identity, this.compression);
      if (performance.now() - turn_began > slice_ms) {
        await nextTurn();
        turn_began = performance.now();
      }
      const same = by_leader.get(leader);
      if (same) same.push(batch);
      else by_leader.set(leader, [batch]);
    }
    await Promise.all(
      [...by_leader].map(async ([leader, of_leader]) => {
        try {
          const answers = await client.produce(
            leader,
            of_leader.map(({ topic, partition, encoded }) => ({ topic, partition, bytes: encoded })),
          );
          for (const answer of answers) problem = this.take(answer, of_leader, identity) ?? problem;
        } catch (error) {
          problem = error;
        }
      }),
    );
    return problem;
  }

  private take(answer: Produced, batches: readonly Batch[], identity: Identity): unknown {
    const batch = batches.find(({ topic, partition }) => topic === answer.topic && partition === answer.partition);
    if (!batch) return undefined;
    if (answer.error_code === 0) {
      identity.sequences.set(batch.place, nextSequence(batch.first_sequence, batch.records));
      batch.succeed(answer.base_offset);
      return undefined;
    }
    const error = errorOfCode(answer.error_code);
    if (isTransient(error)) return error;
    if (new_id_needed.has(error.type ?? "")) {
      this.identity = undefined;
      return transient(error.message);
    }
    batch.fail(
      new Error(`${batch.records} records for ${batch.topic}, partition ${batch.partition}, were refused: ${error.message}`, {
        cause: error,
      }),
    );
    return undefined;
  }
}

interface Identity {
  readonly producer_id: bigint;
  readonly producer_epoch: number;
  /** By topic and partition: of its next batch. */
  readonly sequences: Map<string, number>;
}

interface Queued {
  readonly record: PreparedRecord;
  readonly bytes: number;
  readonly call: Call;
  readonly index: number;
}

/** The broker has no trace of this producer, or another one than we remember: nothing was written under this sequence. */
const new_id_needed: ReadonlySet<string> = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
]);
const sequences = 0x8000_0000;

function nextSequence(first: number, records: number): number {
  return (first + records) % sequences;
}

/** One call of append: done when each of its records is. */
class Call {
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

class Batch {
  done = false;
  bytes_encoded: Buffer | undefined;
  bytes: number;
  first_sequence = 0;
  private encoded_for: Identity | undefined;
  private readonly queued: Queued[];

  constructor(
    readonly topic: string,
    readonly partition: number,
    first: Queued,
  ) {
    this.queued = [first];
    this.bytes = first.bytes;
  }

  get place(): string {
    return `${this.topic}/${this.partition}`;
  }

  get records(): number {
    return this.queued.length;
  }

  get encoded(): Buffer {
    if (!this.bytes_encoded) throw new Error(`a batch for ${this.place} that isn't encoded`);
    return this.bytes_encoded;
  }

  add(queued: Queued): void {
    this.queued.push(queued);
    this.bytes += queued.bytes;
  }

  /** Once for an identity: what is sent again must be the same. */
  async encode(identity: Identity, compression: Compression): Promise<void> {
    if (this.encoded_for === identity) return;
    this.first_sequence = identity.sequences.get(this.place) ?? 0;
    const { producer_id, producer_epoch } = identity;
    const by = { producer_id, producer_epoch, first_sequence: this.first_sequence };
    this.bytes_encoded = await encodeRecordBatch(
      this.queued.map(({ record }) => record),
      compression,
      by,
    );
    this.encoded_for = identity;
  }

  succeed(base_offset: number): void {
    if (this.done) return;
    this.done = true;
    for (const [delta, { call, index }] of this.queued.entries()) {
      call.succeed(index, { partition: this.partition, offset: base_offset + delta });
    }
  }

  fail(error: unknown): void {
    if (this.done) return;
    this.done = true;
    for (const { call } of this.queued) call.fail(error);
  }
}
