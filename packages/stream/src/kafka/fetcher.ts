/**
 * Pulls the records of the assigned partitions: when asked and nothing is in hand, one fetch to each leader of all partitions that it
 * leads, which waits at the broker for fetch_wait_ms where there is nothing. So there is at most one answer in hand for each partition,
 * and nothing is fetched while the stage works off what is.
 */

import type { LogRecord } from "../log";
import type { TopicPartition } from "./assignment";
import { earliest_offset, end_offset, type KafkaClient } from "./client";
import { isTransient, transient } from "./errors";
import { errorOfCode, request_ms } from "./kafkajs";
import { placeOf } from "./member";
import type { KafkaLogLogger } from "./options";
import { GivenUpError, type Patience, type Trouble } from "./patience";
import { offset_out_of_range } from "./reader";
import type { Fetched } from "./record-requests";
import { RecordSet } from "./record-set";
import { withinTime } from "./within-time";

export const fetch_wait_ms = 500;
/** Of one answer, and of one partition in it: it stays in memory, as compressed as it is in the log, until it is worked off. */
export const fetch_bytes_max = 8_388_608;
export const partition_fetch_bytes_max = 2_097_152;
export const stall_ms_default = 30_000;

export interface FetcherOptions {
  readonly group: string;
  readonly retry_wait_ms: number;
  /** Records are there and the broker doesn't give them for this long: then all connections are made anew. */
  readonly stall_ms: number;
  readonly logger: KafkaLogLogger | undefined;
  /** There is something to take, or something has failed. */
  readonly onNews: () => void;
  /** No progress in this generation: connections were ended; the member should join again. */
  readonly onStall: (generation: number) => void;
}

export interface Taken extends TopicPartition {
  readonly records: readonly LogRecord[];
  readonly end: number;
}

export class Fetcher {
  private partitions = new Map<string, FetchedPartition>();
  /** Partitions with something in hand; the next to be taken from is first. */
  private ready: FetchedPartition[] = [];
  /** Leaders that have a fetch of ours, and partitions whose offset is being looked up. */
  private readonly asked = new Set<number>();
  private failure: unknown;
  /** No answers at all; and partitions without a leader while others may go on, for which nothing is given up. */
  private readonly troubles: { answers?: Trouble; leaderless?: Trouble } = {};
  private tries = 0;
  private generation = -1;
  private stalling = false;
  private closed = false;

  constructor(
    private readonly client: Pick<KafkaClient, "leader" | "fetch" | "offsets" | "refresh" | "reset">,
    private readonly patience: Patience,
    private readonly options: FetcherOptions,
  ) {}

  /** Instead of the partitions before. */
  assign(partitions: readonly (TopicPartition & { readonly position: number })[], generation: number): void {
    this.generation = generation;
    this.ready = [];
    this.partitions = new Map(partitions.map((partition) => [placeOf(partition), new FetchedPartition(partition)]));
    // What reading waited for was of the partitions before: a member without any never reads, so nothing else would end it.
    this.settle();
    this.endTrouble("leaderless");
  }

  seek(place: TopicPartition, position: number): void {
    const partition = this.partitions.get(placeOf(place));
    if (!partition) return;
    partition.position = position;
    partition.set = undefined;
    this.ready = this.ready.filter((other) => other !== partition);
  }

  setPaused(place: TopicPartition, paused: boolean): void {
    const partition = this.partitions.get(placeOf(place));
    if (partition) partition.paused = paused;
  }

  /** The next records in hand, if there are any. Throws what fetching has failed of for good. */
  take(records_max: number): Taken | undefined {
    if (this.failure !== undefined) throw this.failure;
    for (;;) {
      const at = this.ready.findIndex(({ paused }) => !paused);
      const partition = at < 0 ? undefined : this.ready.splice(at, 1)[0];
      const set = partition?.set;
      if (!partition || !set) return undefined;
      const records = set.take(records_max);
      partition.position = set.next_offset;
      if (set.isOver) partition.set = undefined;
      else this.ready.push(partition);
      if (records.length > 0) return { ...partition.of, records, end: partition.end };
    }
  }

  /** Fetches where nothing is in hand and no fetch is under way. */
  ask(): void {
    if (this.closed || this.failure !== undefined || this.ready.some(({ paused }) => !paused)) return;
    const by_leader = new Map<number, FetchedPartition[]>();
    let leaderless = false;
    for (const partition of this.partitions.values()) {
      if (partition.paused || partition.set || partition.locating) continue;
      const leader = this.client.leader(partition.of.topic, partition.of.partition);
      if (leader === undefined) leaderless = true;
      else by_leader.set(leader, [...(by_leader.get(leader) ?? []), partition]);
    }
    for (const [leader, partitions] of by_leader) {
      if (!this.asked.has(leader)) void this.fetch(leader, partitions);
    }
    if (leaderless) void this.lookForLeaders();
    else this.endTrouble("leaderless");
  }

  close(): void {
    this.closed = true;
    this.assign([], -1);
  }

  private async fetch(leader: number, partitions: readonly FetchedPartition[]): Promise<void> {
    this.asked.add(leader);
    const places = partitions.map(({ of, position }) => ({ ...of, offset: position }));
    try {
      const limits = { wait_ms: fetch_wait_ms, bytes_max: fetch_bytes_max, partition_bytes_max: partition_fetch_bytes_max };
      const answers = await withinTime(this.client.fetch(leader, places, limits), request_ms + this.options.stall_ms); // kafkajs ends it sooner, as a rule
      let problem: unknown;
      for (const answer of answers) problem = this.receive(answer) ?? problem;
      this.watch(answers);
      if (problem === undefined) this.settle();
      else await this.recover(problem, leader);
    } catch (error) {
      await this.recover(error, leader);
    } finally {
      this.asked.delete(leader);
      if (!this.closed) this.options.onNews();
    }
  }

  /** Returns a problem that learning leaders anew may mend. */
  private receive(answer: Fetched): unknown {
    const partition = this.partitions.get(placeOf(answer));
    if (!partition || partition.position !== answer.offset || partition.set) return undefined; // sought or dealt out elsewhere meanwhile
    if (answer.error_code === offset_out_of_range) {
      void this.failOutOfRange(partition);
      return undefined;
    }
    if (answer.error_code !== 0) {
      const error = errorOfCode(answer.error_code);
      if (!isTransient(error)) this.fail(error);
      return error;
    }
    partition.end = Math.max(answer.end, answer.offset);
    if (answer.bytes.length > 0) {
      partition.set = new RecordSet(answer.topic, answer.partition, answer.offset, answer.bytes);
      this.partitions.delete(placeOf(answer)); // to the end, so that those behind it come into the next answer, which is limited
      this.partitions.set(placeOf(answer), partition);
      this.ready.push(partition);
    }
    return undefined;
  }

  /** Records that are there must come. An answer is limited, so where one partition fills it, others have to wait: only an empty one counts. */
  private watch(answers: readonly Fetched[]): void {
    const now = performance.now();
    const isEmpty = answers.every(({ bytes }) => bytes.length === 0);
    for (const answer of answers) {
      const partition = this.partitions.get(placeOf(answer));
      if (!partition) continue;
      const awaits = isEmpty && answer.error_code === 0 && partition.position === answer.offset && answer.end > answer.offset;
      const since = partition.stalled_since ?? now;
      partition.stalled_since = awaits ? since : undefined;
      if (awaits && now - since > this.options.stall_ms) void this.stall(partition);
    }
  }

  private async stall({ of, position, end }: FetchedPartition): Promise<void> {
    if (this.stalling) return;
    this.stalling = true;
    const { generation } = this;
    const { group, stall_ms } = this.options;
    for (const partition of this.partitions.values()) partition.stalled_since = undefined;
    this.options.logger?.error(
      { ...of, group, position, end, stall_ms },
      "no records come, though there are some: all connections are made anew",
    );
    await this.client.reset("no progress").catch(() => undefined); // they are made anew in any case
    this.stalling = false;
    this.options.onStall(generation);
  }

  /** The records at the position are gone, or not there any more: whatever reading went on with, some would be skipped. */
  private async failOutOfRange(partition: FetchedPartition): Promise<void> {
    const { client, options } = this;
    const { topic, partition: number } = partition.of;
    const { position } = partition;
    partition.locating = true;
    try {
      const earliest = await client.offsets(topic, number, earliest_offset);
      const end = await client.offsets(topic, number, end_offset);
      const isCurrent = this.partitions.get(placeOf(partition.of)) === partition && partition.position === position;
      if (!isCurrent || (position >= earliest && position <= end)) return;
      const at = `the group ${options.group} reads ${topic}, partition ${number}, at offset ${position}`;
      this.fail(
        new Error(
          position < earliest
            ? `${at}, but the log begins at ${earliest} (and ends at ${end}): ${earliest - position} records were dropped before they ` +
                "were read. Raise the topic's retention.ms so that it outlasts the time for which a reader may stand still"
            : `${at}, but the log ends at ${end} (and begins at ${earliest}): it has lost records that were read, by the election of a ` +
                "leader that wasn't in sync, or the topic was deleted and created anew. What is appended now would be skipped",
        ),
      );
    } catch (error) {
      await this.recover(error, no_leader);
    } finally {
      partition.locating = false;
      if (!this.closed) options.onNews();
    }
  }

  /** Pauses and learns leaders anew; gives up after retry_wait_ms without an answer in between. */
  private async recover(error: unknown, leader: number): Promise<void> {
    if (this.closed || this.partitions.size === 0) return;
    if (!isTransient(error)) {
      this.fail(error);
      return;
    }
    const what = `reading as the group ${this.options.group}`;
    this.troubles.answers ??= this.patience.begin(what);
    this.patience.tell(this.troubles.answers, error);
    const away_ms = performance.now() - this.troubles.answers.since;
    if (away_ms >= this.options.retry_wait_ms) {
      this.fail(new GivenUpError(what, away_ms, this.options.retry_wait_ms, error));
      return;
    }
    await this.pauseAndRefresh(leader, ++this.tries);
  }

  private async lookForLeaders(): Promise<void> {
    if (this.asked.has(no_leader)) return;
    this.troubles.leaderless ??= this.patience.begin(`reading all partitions as the group ${this.options.group}`);
    this.patience.tell(this.troubles.leaderless, transient("a partition has no leader"));
    await this.pauseAndRefresh(no_leader, leader_tries);
  }

  private async pauseAndRefresh(leader: number, tries: number): Promise<void> {
    this.asked.add(leader);
    await this.patience.pause(tries);
    await this.client.refresh().catch(() => undefined); // then the next fetch says so
    this.asked.delete(leader);
    if (!this.closed) this.options.onNews();
  }

  private settle(): void {
    this.tries = 0;
    this.endTrouble("answers");
  }

  private endTrouble(which: keyof Fetcher["troubles"]): void {
    const trouble = this.troubles[which];
    if (trouble) this.patience.end(trouble);
    delete this.troubles[which];
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    this.settle();
  }
}

/** Takes the place of a leader's id while one is being looked for. */
const no_leader = -1;
/** As long a pause as the third try has: a new leader takes seconds. */
const leader_tries = 3;

class FetchedPartition {
  readonly of: TopicPartition;
  position: number;
  end: number;
  paused = false;
  locating = false;
  set: RecordSet | undefined;
  stalled_since: number | undefined;

  constructor({ topic, partition, position }: TopicPartition & { readonly position: number }) {
    this.of = { topic, partition };
    this.position = position;
    this.end = position;
  }
}
