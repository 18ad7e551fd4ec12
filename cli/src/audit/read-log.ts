/** What an audit reads of the log. Nothing is changed. */
import type { Codec } from "@assay/schemas/codec";
import type { HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Log, LogRecord } from "@assay/stream/log";
import { replayedLetter } from "../dead-letters/replay-mark";
import { evaluate_host_windows_group, host_windows_group } from "../groups";
import type { PartId } from "./part";
import { addRecord, emptyRecount, type Recount } from "./recount";

export type AuditedLog = Pick<Log, "partitions" | "partitionOf" | "read" | "bounds" | "committed">;

const read_records_max = 500;

/** Positions that the stages have committed, by partition: what lies before them must be accounted for. */
export interface Positions {
  readonly correlated_to: ReadonlyMap<number, number>;
  readonly evaluated_to: ReadonlyMap<number, number>;
  /** Groups that have committed nothing of a topic that has records, in words. */
  readonly strangers: readonly string[];
}

export async function readPositions(log: AuditedLog): Promise<Positions> {
  const correlated = await committedBy(log, host_windows_group, topics.telemetry.name);
  const evaluated = await committedBy(log, evaluate_host_windows_group, topics.hostWindows.name);
  return {
    correlated_to: correlated.positions,
    evaluated_to: evaluated.positions,
    strangers: [...correlated.strange, ...evaluated.strange],
  };
}

export interface ReadTelemetry {
  readonly recount: Recount;
  readonly earliest: ReadonlyMap<number, number>;
  /** By partition, the timestamp of its oldest kept record; none where it keeps nothing. */
  readonly oldest_at: ReadonlyMap<number, number>;
  /** Timestamp of the oldest kept record. */
  readonly from: number | undefined;
}

/** dead: "partition:offset" of records that are dead letters. */
export async function readTelemetry(
  log: AuditedLog,
  codec: Codec,
  window_ms: number,
  dead: ReadonlySet<string>,
): Promise<ReadTelemetry> {
  const recount = emptyRecount(window_ms);
  const earliest = new Map<number, number>();
  const oldest_at = new Map<number, number>();
  let from: number | undefined;
  for (const partition of partitionsOf(log, topics.telemetry.name)) {
    earliest.set(partition, (await log.bounds(topics.telemetry.name, partition)).earliest);
    for await (const record of recordsFrom(log, topics.telemetry.name, partition, 0)) {
      if (!oldest_at.has(partition)) oldest_at.set(partition, record.timestamp);
      if (from === undefined || record.timestamp < from) from = record.timestamp;
      const { offset, timestamp } = record;
      const decoded = record.value ? codec.decode(record.value) : undefined;
      if (decoded?.name === "TelemetryBatch") {
        const is_dead = dead.has(`${partition}:${offset}`);
        addRecord(recount, { kind: "batch", partition, offset, timestamp, batch: decoded.value }, is_dead);
      } else if (decoded?.name === "HostSilent") {
        addRecord(recount, { kind: "silent", partition, offset, timestamp, ...decoded.value });
      } else addRecord(recount, { kind: "unreadable", partition, offset, timestamp });
    }
  }
  return { recount, earliest, oldest_at, from };
}

export interface DeadLetters {
  /** "partition:offset" of telemetry records that a stage could not use. */
  readonly of_telemetry: ReadonlySet<string>;
  /** Telemetry that never reached the topic, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Telemetry that ingest refused and that was replayed since, by the reason then. */
  readonly replayed: Readonly<Record<string, number>>;
}

export async function readDeadLetters(log: AuditedLog, codec: Codec): Promise<DeadLetters> {
  const of_telemetry = new Set<string>();
  /** Reasons, by the letters' own places. */
  const letters = new Map<string, string>();
  const marked = new Set<string>();
  for (const partition of partitionsOf(log, topics.deadLetters.name)) {
    for await (const record of recordsFrom(log, topics.deadLetters.name, partition, 0)) {
      const decoded = record.value ? codec.decode(record.value) : undefined;
      if (decoded?.name !== "DeadLetter") continue;
      const letter = decoded.value;
      const replayed = replayedLetter(letter);
      if (replayed !== undefined) marked.add(replayed);
      else if (letter.topic !== topics.telemetry.name) continue;
      else if (letter.offset >= 0) of_telemetry.add(`${letter.partition}:${letter.offset}`);
      else letters.set(`${partition}:${record.offset}`, letter.reason);
    }
  }
  const refused: Record<string, number> = {};
  const replayed: Record<string, number> = {};
  for (const [id, reason] of letters) {
    const counts = marked.has(id) ? replayed : refused;
    counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return { of_telemetry, refused, replayed };
}

/** Parts of host windows past the evaluator's position. */
export async function readUnevaluated(log: AuditedLog, codec: Codec, evaluated_to: Positions["evaluated_to"]): Promise<PartId[]> {
  const parts: PartId[] = [];
  for (const partition of partitionsOf(log, topics.hostWindows.name)) {
    for await (const record of recordsFrom(log, topics.hostWindows.name, partition, evaluated_to.get(partition) ?? 0)) {
      const decoded = record.value ? codec.decode(record.value) : undefined;
      if (decoded?.name === "HostWindow") parts.push(partId(decoded.value));
    }
  }
  return parts;
}

function partId({ host_id, window_start, incarnation, seq_from, seq_to, closed_by }: HostWindow): PartId {
  return { host_id, window_start, incarnation, seq_from, seq_to, closed_by };
}

async function committedBy(
  log: AuditedLog,
  group: string,
  topic: string,
): Promise<{ readonly positions: Map<number, number>; readonly strange: readonly string[] }> {
  const positions = new Map<number, number>();
  let any = false;
  let records = false;
  for (const partition of partitionsOf(log, topic)) {
    const committed = await log.committed(group, topic, partition);
    const { earliest, end } = await log.bounds(topic, partition);
    any ||= committed !== undefined;
    records ||= earliest < end;
    positions.set(partition, committed?.offset ?? 0);
  }
  return { positions, strange: records && !any ? [`${group} has committed nothing of ${topic}, which has records`] : [] };
}

function partitionsOf(log: AuditedLog, topic: string): number[] {
  return Array.from({ length: log.partitions(topic) }, (_, partition) => partition);
}

/** Throws where less comes than there is. */
async function* recordsFrom(log: AuditedLog, topic: string, partition: number, from: number): AsyncGenerator<LogRecord> {
  const { earliest, end } = await log.bounds(topic, partition);
  for (let next = Math.max(from, earliest); next < end; ) {
    const records = await log.read(topic, partition, next, read_records_max);
    const last = records.at(-1);
    if (last) {
      yield* records;
      next = last.offset + 1;
      continue;
    }
    // Retention may have dropped them meanwhile.
    const kept = (await log.bounds(topic, partition)).earliest;
    if (kept <= next)
      throw new Error(`${topic}, partition ${partition}, ends at ${end}, and nothing could be read from ${next} on`);
    next = kept;
  }
}
