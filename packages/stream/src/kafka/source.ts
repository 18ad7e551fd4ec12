/**
 * A source on Kafka: a membership, and a fetcher for what it holds, told as events in the order of the port.
 *
 *   outside ──next()──► entering ──► inside ──(the member's generation is over)──► leaving ──► outside …
 *                       (joins, reads  assigned for all, then records               revoked for all that were told as assigned
 *                        positions)
 *
 * Everything goes on by next(): without a call the source joins nothing and fetches nothing. Only heartbeats go by themselves, so that long
 * work between two calls keeps its partitions. In a rebalance the group waits until the stage has come to next() again and has been told
 * of what is revoked, for rebalance_ms at most; until then heartbeats go on and commits are taken. Then the group goes on without it, and its commits are
 * "fenced".
 */

import {
  type Committed,
  type LogRecord,
  note_bytes_max,
  type Position,
  type Source,
  type SourceEvent,
  type SourceOptions,
} from "../log";
import type { TopicPartition } from "./assignment";
import { earliest_offset, end_offset, type KafkaClient } from "./client";
import { isTransient } from "./errors";
import { Fetcher, stall_ms_default } from "./fetcher";
import { Member, placeOf } from "./member";
import type { KafkaLogLogger } from "./options";
import type { Patience } from "./patience";
import { withinTime } from "./within-time";

export interface KafkaSourceOptions extends SourceOptions {
  readonly session_ms: number;
  readonly rebalance_ms: number;
  readonly retry_wait_ms: number;
  /** What topics and the group are called on the brokers begins with this. */
  readonly prefix: string;
  readonly beforeRecords: ((records: readonly LogRecord[]) => Promise<void>) | undefined;
  readonly logger: KafkaLogLogger | undefined;
  readonly onClosed: () => void;
}

type Event<Kind extends SourceEvent["kind"]> = Extract<SourceEvent, { kind: Kind }>;
type Assigned = Event<"assigned">;

export class KafkaSource implements Source {
  private phase: "outside" | "entering" | "inside" | "leaving" = "outside";
  /** Still to be told. */
  private events: (Assigned | Event<"revoked">)[] = [];
  /** Told as assigned, and not as revoked since; by topic and partition. */
  private readonly held = new Map<string, TopicPartition>();
  private readonly member: Member;
  private readonly fetcher: Fetcher;
  private readonly group: string;
  private entering: Promise<void> | undefined;
  private failure: unknown;
  /** Something may have changed since it was last looked at. */
  private isNews = false;
  private wake: (() => void) | undefined;
  private waiting = false;
  private closed: Promise<void> | undefined;

  /** client is this source's own. */
  constructor(
    private readonly client: KafkaClient,
    private readonly shared_client: KafkaClient,
    private readonly patience: Patience,
    private readonly options: KafkaSourceOptions,
  ) {
    const { prefix, topics, session_ms, rebalance_ms, logger, retry_wait_ms } = options;
    this.group = prefix + options.group;
    const onNews = () => this.notify();
    const real_topics = topics.map((topic) => prefix + topic);
    this.member = new Member(client, patience, {
      group: this.group,
      topics: real_topics,
      session_ms,
      rebalance_ms,
      onOver: onNews,
    });
    const onStall = (generation: number) => this.member.giveUp(generation);
    this.fetcher = new Fetcher(client, patience, {
      group: this.group,
      retry_wait_ms,
      stall_ms: stall_ms_default,
      logger,
      onNews,
      onStall,
    });
  }

  async next(wait_ms: number): Promise<SourceEvent> {
    if (this.waiting)
      throw new Error(`the source of the group ${this.group} is asked for the next event while it is asked already`);
    this.waiting = true;
    try {
      return await this.nextWithin(performance.now() + wait_ms);
    } finally {
      this.waiting = false;
    }
  }

  seek(topic: string, partition: number, offset: number): void {
    this.fetcher.seek(this.heldPartition(topic, partition), offset);
  }

  pause(topic: string, partition: number): void {
    this.fetcher.setPaused(this.heldPartition(topic, partition), true);
  }

  resume(topic: string, partition: number): void {
    this.fetcher.setPaused(this.heldPartition(topic, partition), false);
    this.notify();
  }

  async commit(position: Position, generation: number, note: string): Promise<"committed" | "fenced"> {
    const bytes = Buffer.byteLength(note, "utf8");
    if (bytes > note_bytes_max) throw new Error(`a note of ${bytes} bytes; at most ${note_bytes_max} bytes`);
    const topic = this.options.prefix + position.topic;
    const isHeld = this.held.has(placeOf({ topic, partition: position.partition }));
    if (this.closed || !isHeld || generation !== this.member.generation) return "fenced";
    return this.member.commit({ ...position, topic }, note);
  }

  close(): Promise<void> {
    this.closed ??= this.leave();
    return this.closed;
  }

  private async nextWithin(deadline: number): Promise<SourceEvent> {
    for (;;) {
      if (this.closed) throw new Error(`the source of the group ${this.group} is closed`);
      if (this.failure !== undefined) throw this.failure;
      this.isNews = false;
      const event = this.step() ?? (await this.records());
      if (event) return event;
      const left_ms = deadline - performance.now();
      if (left_ms <= 0) return { kind: "idle" };
      await this.news(left_ms);
    }
  }

  /** What the state has to tell; moves it on. */
  private step(): SourceEvent | undefined {
    if (this.phase === "inside" && this.member.over !== undefined) this.beginLeaving();
    const event = this.events.shift();
    if (event) {
      const place = { topic: this.options.prefix + event.topic, partition: event.partition };
      if (event.kind === "assigned") this.held.set(placeOf(place), place);
      else this.held.delete(placeOf(place));
      return event;
    }
    if (this.phase === "leaving") this.phase = "outside";
    if (this.phase === "outside") {
      this.phase = "entering";
      this.entering = this.enter();
    }
    return undefined;
  }

  private beginLeaving(): void {
    this.phase = "leaving";
    const { generation } = this.member;
    this.fetcher.assign([], generation);
    this.events = [...this.held.values()].map(({ topic, partition }) => ({
      kind: "revoked",
      topic: this.portName(topic),
      partition,
      generation,
    }));
  }

  private async records(): Promise<SourceEvent | undefined> {
    if (this.phase !== "inside") return undefined;
    const taken = this.fetcher.take(this.options.batch_records_max);
    if (!taken) {
      this.fetcher.ask();
      return undefined;
    }
    const topic = this.portName(taken.topic);
    const records = this.options.prefix === "" ? taken.records : taken.records.map((record) => ({ ...record, topic }));
    await this.options.beforeRecords?.(records);
    const { partition, end } = taken;
    return { kind: "records", topic, partition, generation: this.member.generation, records, end };
  }

  /** Joins and reads where to begin; what is assigned is told by step(). */
  private async enter(): Promise<void> {
    try {
      const partitions = await this.member.join();
      const assigned = await this.positions(partitions);
      if (this.closed) return;
      this.phase = "inside";
      if (this.member.over !== undefined) return; // nothing was told yet, so nothing is revoked
      this.events = assigned.map(({ event }) => event);
      this.fetcher.assign(assigned, this.member.generation);
    } catch (error) {
      if (this.closed) return;
      if (this.member.over === "lost" && isTransient(error)) this.phase = "outside";
      else this.failure = error;
    } finally {
      this.notify();
    }
  }

  private async positions(
    partitions: readonly TopicPartition[],
  ): Promise<(TopicPartition & { readonly position: number; readonly event: Assigned })[]> {
    if (partitions.length === 0) return [];
    const { member, client, patience } = this;
    const committed = await member.committed(partitions);
    const { generation } = member;
    const offset = ({ topic, partition }: TopicPartition, which: typeof earliest_offset | typeof end_offset) =>
      patience.untilKnown(() => client.offsets(topic, partition, which), {
        what: `asking where ${topic}, partition ${partition}, begins`,
        recover: () => client.refresh(),
        isOver: () => this.closed !== undefined || member.over === "lost",
      });
    return Promise.all(
      partitions.map(async ({ topic, partition }) => {
        const place = { topic, partition };
        const earliest = await offset(place, earliest_offset);
        const of: Committed | undefined = committed.get(placeOf(place));
        const position = of?.offset ?? (this.options.from === "earliest" ? earliest : await offset(place, end_offset));
        const event: Assigned = { kind: "assigned", topic: this.portName(topic), partition, generation, committed: of, earliest };
        return { ...place, position, event };
      }),
    );
  }

  /** Resolves when something may have changed, or the time is over. */
  private async news(wait_ms: number): Promise<void> {
    if (this.isNews) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, wait_ms);
    });
    clearTimeout(timer);
    this.wake = undefined;
  }

  private notify(): void {
    this.isNews = true;
    this.wake?.();
  }

  private async leave(): Promise<void> {
    this.fetcher.close();
    this.notify();
    try {
      await withinTime(this.member.leave(this.shared_client), leave_ms);
    } catch (error) {
      this.options.logger?.warn(
        { error, group: this.group },
        "the group couldn't be told that a member leaves; it notices after the session",
      );
    }
    await this.client.close();
    await this.entering;
    this.options.onClosed();
  }

  private heldPartition(topic: string, partition: number): TopicPartition {
    const place = { topic: this.options.prefix + topic, partition };
    if (!this.held.has(placeOf(place))) throw new Error(`partition ${partition} of ${topic} isn't assigned to this source`);
    return place;
  }

  private portName(topic: string): string {
    return topic.slice(this.options.prefix.length);
  }
}

const leave_ms = 5_000;
