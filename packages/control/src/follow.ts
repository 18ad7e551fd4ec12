/**
 * ControlView: control's current state and its versions, read by following assay.control. Every process has its own; none writes.
 *
 * The topic has one partition. refresh() reads to its current end, so what was appended before the call is seen after it.
 *
 * A coordinator that was stalled for so long that another took over may still append what it decided before. Every reader makes the same
 * of it, by the log's order alone:
 *
 *   a version that is taken, or not above the newest ──► ignored, and so is an answer that says it was accepted
 *   a record of a command that has been answered ──────► ignored
 *   a second answer to a command ──────────────────────► ignored: the first stands
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Codec } from "@assay/schemas/codec";
import type { ControlRecord } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Log } from "@assay/stream/log";
import { type Answer, answerSchema, type EntityKind, type EntityTypes, entitySchemas } from "./entities";

export interface Versioned<T> {
  readonly id: string;
  readonly version: number;
  readonly at: number;
  /** Event time from which windows see this version. */
  readonly effective_from: number;
  readonly value: T;
}

export interface MadeVersion {
  readonly kind: EntityKind;
  readonly id: string;
  readonly version: number;
}

const readBatchRecords = 500;
/** Reads before the end that bring nothing, one after the other: a broker that lags may answer so for a while. */
const empty_reads_max = 20;
const empty_read_wait_ms = 100;
/** Answers kept for askers and for the coordinator's memory of what it has done. */
const answersMax = 20_000;
/** Commands whose record has been read and whose answer, the next record, has not: one or two. */
const unansweredMax = 1_000;

export class ControlView {
  /** Versions by kind and id, oldest first. */
  private readonly entities = new Map<EntityKind, Map<string, Versioned<EntityTypes[EntityKind]>[]>>();
  private readonly answers = new Map<string, Answer>();
  /** What a command's record did, until the command's answer: made a version, or came too late. */
  private readonly unanswered = new Map<string, MadeVersion | "too_late">();
  private next = 0;
  private refreshing: Promise<void> | undefined;
  private queued: Promise<void> | undefined;

  private constructor(
    private readonly log: Log,
    private readonly codec: Codec,
  ) {}

  /** Reads all of control. The topic must exist. */
  static async open(log: Log, codec: Codec): Promise<ControlView> {
    const view = new ControlView(log, codec);
    await view.refresh();
    return view;
  }

  /** Callers share reads: one that starts while a read is under way gets the read after it, so its promise still holds. */
  refresh(): Promise<void> {
    if (!this.refreshing) {
      this.refreshing = this.readToEnd().finally(() => {
        this.refreshing = undefined;
      });
      return this.refreshing;
    }
    this.queued ??= this.refreshing
      .catch(() => undefined)
      .then(() => {
        this.queued = undefined;
        return this.refresh();
      });
    return this.queued;
  }

  /** The newest version, in force or not yet. */
  latest<K extends EntityKind>(kind: K, id: string): Versioned<EntityTypes[K]> | undefined {
    return this.versions(kind, id).at(-1);
  }

  /** The newest version of each entity of a kind. */
  all<K extends EntityKind>(kind: K): Versioned<EntityTypes[K]>[] {
    return [...(this.entities.get(kind)?.keys() ?? [])].flatMap((id) => this.latest(kind, id) ?? []);
  }

  /** The version in force at an event time of each entity that had one. */
  at<K extends EntityKind>(kind: K, event_time: number): Versioned<EntityTypes[K]>[] {
    return [...(this.entities.get(kind)?.keys() ?? [])].flatMap((id) => this.versionAt(kind, id, event_time) ?? []);
  }

  versionAt<K extends EntityKind>(kind: K, id: string, event_time: number): Versioned<EntityTypes[K]> | undefined {
    return this.versions(kind, id).findLast((v) => v.effective_from <= event_time);
  }

  versions<K extends EntityKind>(kind: K, id: string): readonly Versioned<EntityTypes[K]>[] {
    return (this.entities.get(kind)?.get(id) ?? []) as unknown as readonly Versioned<EntityTypes[K]>[];
  }

  /** Those of which a version may have been in force at an event time that is no longer kept. */
  forgotten(kind: EntityKind, event_time: number): string[] {
    return [...(this.entities.get(kind)?.entries() ?? [])].flatMap(([id, [oldest]]) =>
      oldest && oldest.version > 1 && oldest.effective_from > event_time ? [id] : [],
    );
  }

  answerTo(command_id: string): Answer | undefined {
    return this.answers.get(command_id);
  }

  /** The version that a command has made whose answer isn't there: its coordinator ended between the two. */
  madeBy(command_id: string): MadeVersion | undefined {
    const did = this.unanswered.get(command_id);
    return did === "too_late" ? undefined : did;
  }

  /** Grows when anything but an answer changed: for caches of what was derived from control. */
  get revision(): number {
    return this.changes;
  }
  private changes = 0;

  private async readToEnd(): Promise<void> {
    const { name } = topics.control;
    const { earliest, end } = await this.log.bounds(name, 0);
    this.next = Math.max(this.next, earliest);
    for (let empty_reads = 0; this.next < end; ) {
      const records = await this.log.read(name, 0, this.next, readBatchRecords);
      for (const record of records) {
        if (record.value) this.applyWire(record.value, record.offset);
      }
      const last = records.at(-1);
      if (last) {
        this.next = last.offset + 1;
        empty_reads = 0;
      } else if (++empty_reads < empty_reads_max) await sleep(empty_read_wait_ms);
      else throw new Error(`${name} ends at ${end}, but ${empty_reads} reads from offset ${this.next} gave no record`);
    }
  }

  private applyWire(value: Buffer, offset: number): void {
    const decoded = this.codec.decode(value);
    if (decoded.name !== "ControlRecord") {
      const detail = decoded.name === "undecodable" ? decoded.detail : decoded.name;
      throw new Error(`record ${offset} of ${topics.control.name} isn't a control record: ${detail}`);
    }
    this.apply(decoded.value);
  }

  /** The next record in the log's order. */
  apply(record: ControlRecord): void {
    const body: unknown = JSON.parse(record.body);
    if (record.kind === "answer") {
      this.answer(record.id, answerSchema.parse(body));
      return;
    }
    const by_command = record.command_id !== "";
    if (by_command && this.answers.has(record.command_id)) return;
    const schema = entitySchemas[record.kind as EntityKind];
    if (!schema) return; // of a newer release: this one has no use for it
    const kind = record.kind as EntityKind;
    const byId = this.entities.get(kind) ?? new Map<string, Versioned<EntityTypes[EntityKind]>[]>();
    this.entities.set(kind, byId);
    const versions = byId.get(record.id) ?? [];
    byId.set(record.id, versions);
    if (versions.some((v) => v.version >= record.version)) {
      if (by_command && !this.unanswered.has(record.command_id)) this.await(record.command_id, "too_late");
      return;
    }
    if (by_command) this.await(record.command_id, { kind, id: record.id, version: record.version });
    versions.push({
      id: record.id,
      version: record.version,
      at: record.at,
      effective_from: record.effective_from,
      value: schema.parse(body),
    });
    if (versions.length > versions_max[kind]) versions.shift();
    this.changes++;
  }

  private answer(command_id: string, answer: Answer): void {
    if (this.answers.has(command_id)) return;
    const did = this.unanswered.get(command_id);
    this.unanswered.delete(command_id);
    if (did === "too_late" && answer.result === "accepted") return;
    this.answers.set(command_id, answer);
    dropOldest(this.answers, answersMax);
  }

  private await(command_id: string, did: MadeVersion | "too_late"): void {
    this.unanswered.set(command_id, did);
    dropOldest(this.unanswered, unansweredMax);
  }
}

function dropOldest(map: Map<string, unknown>, entries_max: number): void {
  const oldest = map.size > entries_max ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}

/**
 * Versions of one entity kept in memory, enough for windows within the spool horizon. Packages are large; agents and keys are
 * only ever asked for their newest.
 */
export const versions_max: Readonly<Record<EntityKind, number>> = {
  application: 100,
  host: 100,
  template: 100,
  assessment: 100,
  package: 20,
  agent: 1,
  key: 1,
};
