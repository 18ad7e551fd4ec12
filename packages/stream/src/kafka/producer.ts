/**
 * Appends by an idempotent producer of its own. Each partition has a lane: one batch under way, and what comes meanwhile gathers behind it, in
 * order of the calls. Each broker has one send at a time, of a batch for each of its partitions; so neither a partition without a leader
 * nor a broker that is away holds up the others.
 *
 *   waiting ──send──► under way ──written, or refused──► the lane's next
 *                        │   ▲
 *                        ▼   └── again: the very same, once leaders are learnt anew
 *                   not known, or not now ──(for retry_wait_ms)──► given up
 *
 * The brokers know a batch by the producer's id and the batch's sequence, and answer a repeat with the offsets of the first. When it is
 * given up, or refused as a repeat, nobody knows whether it was written; a later batch under its sequence would then be dropped as a repeat,
 * so the producer takes a new id for what it hasn't sent yet.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Appended, LogFullError } from "../log";
import type { KafkaClient } from "./client";
import { isTransient, type KafkaError, transient } from "./errors";
import { errorOfCode } from "./kafkajs";
import type { Compression } from "./options";
import { GivenUpError, type Patience, type Trouble } from "./patience";
import type { PreparedRecord } from "./prepare-records";
import { Call, type Identity, Lane, placeOf } from "./produce-batch";
import { recordBytes } from "./record-batch";
import type { ProduceBatch } from "./record-requests";
import { withinTime } from "./within-time";

/** Of one send, all partitions together: with so much, no further batch is added. */
export const send_bytes_max = 8_388_608;
/** Of what waits for one partition, and of all that waits: with so much, further appends are refused. */
export const partition_queue_bytes_max = 16_777_216;
export const queue_bytes_max = 67_108_864;
const closing_wait_ms = 5_000;
/** Encoding lets the event loop turn after this long. */
const slice_ms = 5;

export class Producer {
  /** By topic and partition, those with something to send; one that has had its turn is behind the others. */
  private readonly lanes = new Map<string, Lane>();
  /** Brokers that have a send of ours. */
  private readonly asked = new Set<number>();
  /** Lanes that wait for Kafka; they are told of as one. */
  private readonly troubled = new Set<Lane>();
  private trouble: Trouble | undefined;
  private identity: Identity | undefined;
  private asking_identity: Promise<Identity> | undefined;
  private bytes = 0;
  private isScheduled = false;
  private closed = false;
  private onIdle: (() => void) | undefined;

  constructor(
    private readonly client: Pick<KafkaClient, "leader" | "produce" | "newProducerId" | "refresh" | "reset">,
    private readonly patience: Patience,
    private readonly compression: Compression,
    private readonly retry_wait_ms: number,
  ) {}

  async append(records: readonly PreparedRecord[]): Promise<readonly Appended[]> {
    if (this.closed) throw new Error("the log is closed");
    if (records.length === 0) return [];
    this.failIfFull(records);
    return new Promise((resolve, reject) => {
      const call = new Call(records.length, resolve, reject);
      for (const [index, record] of records.entries()) {
        const bytes = recordBytes(record);
        this.lane(record).add({ record, bytes, call, index });
        this.bytes += bytes;
      }
      this.schedule();
    });
  }

  /** Lets what is being sent come to its end, for a while. */
  async close(): Promise<void> {
    this.closed = true;
    const idle = new Promise<void>((resolve) => {
      this.onIdle = resolve;
    });
    if (this.lanes.size > 0) await withinTime(idle, closing_wait_ms).catch(() => undefined); // then its callers are told
  }

  private failIfFull(records: readonly PreparedRecord[]): void {
    if (this.bytes >= queue_bytes_max) throw new LogFullError(fullMessage(this.bytes, "", queue_bytes_max));
    for (const { topic, partition } of records) {
      const waiting = this.lanes.get(placeOf({ topic, partition }))?.bytes ?? 0;
      if (waiting < partition_queue_bytes_max) continue;
      throw new LogFullError(fullMessage(waiting, ` to ${topic}, partition ${partition}`, partition_queue_bytes_max));
    }
  }

  private lane({ topic, partition }: PreparedRecord): Lane {
    const place = placeOf({ topic, partition });
    const known = this.lanes.get(place);
    if (known) return known;
    const lane = new Lane(topic, partition);
    this.lanes.set(place, lane);
    return lane;
  }

  /** Calls of the same turn go together. */
  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      this.sendWhatWaits();
    });
  }

  private sendWhatWaits(): void {
    const by_leader = new Map<number, Lane[]>();
    const leaderless: Lane[] = [];
    for (const lane of this.lanes.values()) {
      if (lane.away) continue;
      const leader = this.client.leader(lane.topic, lane.partition);
      const same = leader === undefined ? leaderless : by_leader.get(leader);
      if (same) same.push(lane);
      else if (leader !== undefined && !this.asked.has(leader)) by_leader.set(leader, [lane]);
    }
    for (const [leader, lanes] of by_leader) {
      const taken = this.take(lanes, send_bytes_max);
      if (taken.length > 0) void this.send(leader, taken);
    }
    const waiting = this.take(leaderless, Number.POSITIVE_INFINITY);
    void this.recover(
      new Map(waiting.map((lane) => [lane, transient(`partition ${lane.partition} of ${lane.topic} has no leader`)])),
    );
    if (this.lanes.size === 0) this.onIdle?.();
  }

  /** Those that have a batch to send now. */
  private take(lanes: readonly Lane[], bytes_max: number): Lane[] {
    const taken: Lane[] = [];
    let bytes = 0;
    for (const lane of lanes) {
      if (bytes >= bytes_max) break;
      const before = lane.bytes;
      const batch = lane.take();
      this.bytes -= before - lane.bytes; // dropped
      this.lanes.delete(lane.place);
      if (!batch) continue;
      this.lanes.set(lane.place, lane);
      lane.away = true;
      bytes += batch.bytes;
      taken.push(lane);
    }
    return taken;
  }

  private async send(leader: number, lanes: readonly Lane[]): Promise<void> {
    this.asked.add(leader);
    const unanswered = transient("the broker left a partition out of its answer");
    const problems = new Map<Lane, unknown>(lanes.map((lane) => [lane, unanswered]));
    try {
      const batches = await this.encode(lanes);
      for (const { batch } of lanes) if (batch) batch.sends++;
      for (const { topic, partition, error_code, base_offset } of await this.client.produce(leader, batches)) {
        const lane = lanes.find((of) => of.topic === topic && of.partition === partition);
        if (!lane) continue;
        const problem = error_code === 0 ? this.succeed(lane, base_offset) : this.judge(lane, errorOfCode(error_code));
        if (problem === undefined) problems.delete(lane);
        else problems.set(lane, problem);
      }
    } catch (error) {
      for (const lane of problems.keys()) problems.set(lane, error);
    } finally {
      this.asked.delete(leader);
      this.schedule();
    }
    await this.recover(problems);
  }

  private async encode(lanes: readonly Lane[]): Promise<ProduceBatch[]> {
    const identity = await this.currentIdentity();
    const batches: ProduceBatch[] = [];
    let turn_began = performance.now();
    for (const { topic, partition, batch } of lanes) {
      if (batch) batches.push({ topic, partition, bytes: await batch.encode(identity, this.compression) });
      if (performance.now() - turn_began > slice_ms) {
        await nextTurn();
        turn_began = performance.now();
      }
    }
    return batches;
  }

  private succeed(lane: Lane, base_offset: number): undefined {
    lane.batch?.succeed(base_offset);
    this.finish(lane);
  }

  /** Returns a problem for which the batch must go again; undefined where it was refused. */
  private judge(lane: Lane, error: KafkaError): KafkaError | undefined {
    const { topic, partition, batch } = lane;
    if (isTransient(error) || !batch) return error;
    if (new_id_needed.has(error.type ?? "")) {
      this.forget(batch.identity);
      batch.identity = undefined;
      return transient(error.message);
    }
    if (batch.sends > 1) this.forget(batch.identity); // it may have been written before
    batch.fail(
      new Error(`${batch.records} records for ${topic}, partition ${partition}, were refused: ${error.message}`, {
        cause: error,
      }),
    );
    this.finish(lane);
    return undefined;
  }

  /** Sends again after a pause, with leaders learnt anew. */
  private async recover(problems: Map<Lane, unknown>): Promise<void> {
    for (;;) {
      await this.giveUpHopeless(problems);
      if (problems.size === 0) return;
      await this.patience.pause(Math.max(...[...problems.keys()].map((lane) => ++lane.tries)));
      try {
        await this.client.refresh();
        break;
      } catch (error) {
        for (const lane of problems.keys()) problems.set(lane, error);
      }
    }
    for (const lane of problems.keys()) lane.away = false;
    this.schedule();
  }

  /** Fails, and takes out of problems, what waiting doesn't mend, or what was tried for retry_wait_ms. */
  private async giveUpHopeless(problems: Map<Lane, unknown>): Promise<void> {
    const now = performance.now();
    const given_up = new Map<Lane, unknown>();
    for (const [lane, error] of problems) {
      lane.troubled_since ??= now;
      const away_ms = now - lane.troubled_since;
      if (this.closed || !isTransient(error)) given_up.set(lane, error);
      else if (away_ms >= this.retry_wait_ms) {
        given_up.set(lane, new GivenUpError(whatOf(lane), away_ms, this.retry_wait_ms, error));
      } else this.tell(lane, error);
    }
    const sent = [...given_up.keys()].filter(({ batch }) => batch && batch.sends > 0);
    for (const { batch } of sent) this.forget(batch?.identity);
    if (sent.length > 0) await this.client.reset("an append was given up").catch(() => undefined); // what was sent must not arrive after what comes next
    for (const [lane, error] of given_up) {
      problems.delete(lane);
      lane.batch?.fail(error);
      this.finish(lane);
    }
  }

  /** The lane's batch is done. */
  private finish(lane: Lane): void {
    this.bytes -= lane.next();
    this.troubled.delete(lane);
    if (this.trouble && this.troubled.size === 0) {
      this.patience.end(this.trouble);
      this.trouble = undefined;
    }
    this.schedule();
  }

  private tell(lane: Lane, error: unknown): void {
    this.troubled.add(lane);
    this.trouble ??= this.patience.begin(whatOf(lane));
    this.patience.tell(this.trouble, error);
  }

  private async currentIdentity(): Promise<Identity> {
    if (this.identity) return this.identity;
    this.asking_identity ??= this.newIdentity().finally(() => {
      this.asking_identity = undefined;
    });
    return this.asking_identity;
  }

  private async newIdentity(): Promise<Identity> {
    const identity = { ...(await this.client.newProducerId()), sequences: new Map<string, number>() };
    this.identity = identity;
    return identity;
  }

  /** Nothing new is sent under it; what was sent under it and isn't known goes again under it. */
  private forget(identity: Identity | undefined): void {
    if (identity && this.identity === identity) this.identity = undefined;
  }
}

/** The broker has no trace of this producer, or another one than we remember: nothing was written under this sequence. */
const new_id_needed: ReadonlySet<string> = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
]);

function whatOf({ topic }: Lane): string {
  return `an append to ${topic}`;
}

function fullMessage(bytes: number, to: string, bytes_max: number): string {
  return `${bytes} bytes wait to be appended${to}, of ${bytes_max} at most: Kafka doesn't take them as fast as they come, or is away`;
}
