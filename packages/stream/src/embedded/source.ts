/**
 * A member of a consumer group of the embedded log.
 *
 * Between calls of next() it holds nothing but positions. A new generation of the group ends all assignments: each partition that it
 * had is told as revoked, then each that it has now as assigned. A member that was dropped as lost joins again by itself.
 */
import { randomUUID } from "node:crypto";
import type { LogRecord, Position, Source, SourceEvent, SourceOptions } from "../log";
import { LogFullError, note_bytes_max } from "../log";
import type { Environment } from "./environment";
import { offsetOfPlace, partitionPlace, readFrame, readPair, recordPlace } from "./framing";
import {
  commitPosition,
  type GroupState,
  heartbeat,
  joinGroup,
  leaveGroup,
  partitionId,
  readCommitted,
  readGroup,
} from "./groups";
import type { TopicTable } from "./topic-table";
import type { Wakes } from "./wakes";

export interface SourceParts {
  readonly environment: Environment;
  readonly topics: TopicTable;
  readonly wakes: Wakes;
  readonly session_ms: number;
  readonly closed: (source: EmbeddedSource) => void;
}

interface Assignment {
  readonly topic: string;
  readonly topic_id: number;
  readonly partition: number;
  position: number;
  paused: boolean;
}

const heartbeats_per_session = 4;
/** Should a wake-up be missed. */
const poll_wait_ms = 250;
/** A batch ends after the record that passes this. */
const batch_bytes_max = 4_194_304;

export class EmbeddedSource implements Source {
  private readonly member_id = randomUUID();
  private readonly told: SourceEvent[] = [];
  private readonly heartbeats: NodeJS.Timeout;
  private assignments: Assignment[] = [];
  /** Of the events told so far. */
  private generation = -1;
  private turn = 0;
  private closed = false;
  private failure: unknown;

  static async join(parts: SourceParts, options: SourceOptions): Promise<EmbeddedSource> {
    const source = new EmbeddedSource(parts, options);
    try {
      await source.join();
    } catch (error) {
      clearInterval(source.heartbeats);
      throw error;
    }
    return source;
  }

  private constructor(
    private readonly parts: SourceParts,
    private readonly options: SourceOptions,
  ) {
    this.heartbeats = setInterval(() => this.tellAlive(), Math.ceil(parts.session_ms / heartbeats_per_session));
    this.heartbeats.unref();
  }

  async next(wait_ms: number): Promise<SourceEvent> {
    const deadline = performance.now() + wait_ms;
    for (;;) {
      if (this.failure) throw this.failure;
      if (this.closed) return { kind: "idle" };
      const event = this.told.shift() ?? (await this.followGroup()) ?? this.readBatch();
      if (event) return event;
      const left_ms = deadline - performance.now();
      if (left_ms <= 0) return { kind: "idle" };
      await this.parts.wakes.wait(Math.min(left_ms, poll_wait_ms));
    }
  }

  seek(topic: string, partition: number, offset: number): void {
    this.assignment(topic, partition).position = offset;
  }

  pause(topic: string, partition: number): void {
    this.assignment(topic, partition).paused = true;
  }

  resume(topic: string, partition: number): void {
    this.assignment(topic, partition).paused = false;
  }

  async commit(position: Position, generation: number, note: string): Promise<"committed" | "fenced"> {
    const note_bytes = Buffer.byteLength(note, "utf8");
    if (note_bytes > note_bytes_max) throw new Error(`a note of ${note_bytes} bytes; at most ${note_bytes_max} bytes of UTF-8`);
    if (this.closed) return "fenced";
    const { environment } = this.parts;
    return environment.write(() => commitPosition(environment, this.options.group, this.member_id, position, generation, note));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.heartbeats);
    const { environment, topics, wakes } = this.parts;
    await environment.write(() => leaveGroup(environment, topics, this.options.group, this.member_id));
    this.parts.closed(this);
    wakes.notify();
  }

  private async join(): Promise<void> {
    const { environment, topics, wakes, session_ms } = this.parts;
    const member = { id: this.member_id, topics: this.options.topics, session_ms };
    await environment.write(() => joinGroup(environment, topics, this.options.group, member));
    wakes.notify();
  }

  private tellAlive(): void {
    const { environment, topics, wakes } = this.parts;
    environment
      .write(() => !this.closed && heartbeat(environment, topics, this.options.group, this.member_id))
      .then((dealt_anew) => {
        if (dealt_anew) wakes.notify();
      })
      .catch((error: unknown) => {
        // Where there is no room for it nobody can take the partitions either.
        if (error instanceof LogFullError) return;
        this.failure = error;
        wakes.notify();
      });
  }

  /** Turns a new generation into events, and returns the first of them. */
  private async followGroup(): Promise<SourceEvent | undefined> {
    const { environment } = this.parts;
    environment.refresh();
    let state = readGroup(environment, this.options.group);
    if (state.generation === this.generation) return undefined;
    if (!state.members.some((m) => m.id === this.member_id)) {
      await this.join();
      if (this.closed) return undefined;
      environment.refresh();
      state = readGroup(environment, this.options.group);
    }
    this.told.push(
      ...this.assignments.map(({ topic, partition }) => {
        return { kind: "revoked", topic, partition, generation: this.generation } as const;
      }),
    );
    this.generation = state.generation;
    this.assignments = [];
    for (const topic of this.options.topics) this.assign(topic, state);
    return this.told.shift();
  }

  private assign(topic_name: string, state: GroupState): void {
    const { environment, topics } = this.parts;
    const topic = topics.get(topic_name);
    for (let partition = 0; partition < topic.partitions; partition++) {
      if (state.owners[partitionId(topic_name, partition)] !== this.member_id) continue;
      const committed = readCommitted(environment, this.options.group, topic_name, partition);
      const [earliest, end] = readPair(environment.heads.get(partitionPlace(topic.id, partition))) ?? [0, 0];
      const position = committed?.offset ?? (this.options.from === "earliest" ? earliest : end);
      this.assignments.push({ topic: topic_name, topic_id: topic.id, partition, position, paused: false });
      this.told.push({ kind: "assigned", topic: topic_name, partition, generation: state.generation, committed, earliest });
    }
  }

  /** Partitions take turns. */
  private readBatch(): SourceEvent | undefined {
    for (let tried = 0; tried < this.assignments.length; tried++) {
      const assignment = this.assignments[this.turn++ % this.assignments.length];
      if (!assignment || assignment.paused) continue;
      const { records, end } = readRecords(this.parts.environment, assignment, this.options.batch_records_max);
      const last = records.at(-1);
      if (!last) continue;
      assignment.position = last.offset + 1;
      return {
        kind: "records",
        topic: assignment.topic,
        partition: assignment.partition,
        generation: this.generation,
        records,
        end,
      };
    }
    return undefined;
  }

  private assignment(topic: string, partition: number): Assignment {
    const found = this.assignments.find((a) => a.topic === topic && a.partition === partition);
    if (!found) throw new Error(`partition ${partition} of ${topic} isn't assigned to this member of ${this.options.group}`);
    return found;
  }
}

/** Records from a position on, with the partition's end at the same moment. */
export function readRecords(
  environment: Environment,
  from: { readonly topic: string; readonly topic_id: number; readonly partition: number; readonly position: number },
  records_max: number,
): { readonly records: LogRecord[]; readonly end: number } {
  const { topic, topic_id, partition, position } = from;
  const end = readPair(environment.heads.get(partitionPlace(topic_id, partition)))?.[1] ?? 0;
  const records: LogRecord[] = [];
  if (position >= end || records_max <= 0) return { records, end };
  const range = {
    start: recordPlace(topic_id, partition, Math.max(0, position)),
    end: recordPlace(topic_id, partition + 1, 0),
    limit: records_max,
  };
  let bytes = 0;
  for (const { key, value } of environment.records.getRange(range)) {
    records.push(readFrame(topic, partition, offsetOfPlace(key), value));
    bytes += value.length;
    if (bytes >= batch_bytes_max) break;
  }
  return { records, end };
}
