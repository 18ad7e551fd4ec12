/** What an audit reads of the log. Nothing is changed. */
import type { Codec } from "@assay/schemas/codec";
import type { HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { LogReader } from "@assay/stream/embedded-log";
import type { LogRecord } from "@assay/stream/log";
import type { PartId } from "./account";
import { addRecord, emptyRecount, type Recount } from "./recount";

const host_windows_group = "assay-host-windows";
const evaluator_group = "assay-evaluate-host-windows";
const read_records_max = 500;

/** Positions that the stages have committed, by partition: what lies before them must be accounted for. */
export interface Positions {
  readonly correlated_to: ReadonlyMap<number, number>;
  readonly evaluated_to: ReadonlyMap<number, number>;
}

export async function readPositions(log: LogReader): Promise<Positions> {
  return {
    correlated_to: await committedBy(log, host_windows_group, topics.telemetry.name),
    evaluated_to: await committedBy(log, evaluator_group, topics.hostWindows.name),
  };
}

export interface ReadTelemetry {
  readonly recount: Recount;
  readonly earliest: ReadonlyMap<number, number>;
  /** Timestamp of the oldest kept record. */
  readonly from: number | undefined;
}

/** dead: "partition:offset" of records that are dead letters. */
export async function readTelemetry(
  log: LogReader,
  codec: Codec,
  window_ms: number,
  dead: ReadonlySet<string>,
): Promise<ReadTelemetry> {
  const recount = emptyRecount(window_ms);
  const earliest = new Map<number, number>();
  let from: number | undefined;
  for (const partition of partitionsOf(log, topics.telemetry.name)) {
    earliest.set(partition, (await log.bounds(topics.telemetry.name, partition)).earliest);
    for await (const record of recordsFrom(log, topics.telemetry.name, partition, 0)) {
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
  return { recount, earliest, from };
}

export interface DeadLetters {
  /** "partition:offset" of telemetry records that a stage could not use. */
  readonly of_telemetry: ReadonlySet<string>;
  /** Telemetry that never reached the topic, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export async function readDeadLetters(log: LogReader, codec: Codec): Promise<DeadLetters> {
  const of_telemetry = new Set<string>();
  const refused: Record<string, number> = {};
  for (const partition of partitionsOf(log, topics.deadLetters.name)) {
    for await (const record of recordsFrom(log, topics.deadLetters.name, partition, 0)) {
      const decoded = record.value ? codec.decode(record.value) : undefined;
      if (decoded?.name !== "DeadLetter" || decoded.value.topic !== topics.telemetry.name) continue;
      const letter = decoded.value;
      if (letter.offset >= 0) of_telemetry.add(`${letter.partition}:${letter.offset}`);
      else refused[letter.reason] = (refused[letter.reason] ?? 0) + 1;
    }
  }
  return { of_telemetry, refused };
}

/** Parts of host windows past the evaluator's position. */
export async function readUnevaluated(log: LogReader, codec: Codec, evaluated_to: Positions["evaluated_to"]): Promise<PartId[]> {
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

async function committedBy(log: LogReader, group: string, topic: string): Promise<Map<number, number>> {
  const positions = new Map<number, number>();
  for (const partition of partitionsOf(log, topic)) {
    positions.set(partition, (await log.committed(group, topic, partition))?.offset ?? 0);
  }
  return positions;
}

function partitionsOf(log: LogReader, topic: string): number[] {
  return Array.from({ length: log.partitions(topic) }, (_, partition) => partition);
}

async function* recordsFrom(log: LogReader, topic: string, partition: number, from: number): AsyncGenerator<LogRecord> {
  const { earliest, end } = await log.bounds(topic, partition);
  for (let next = Math.max(from, earliest); next < end; ) {
    const records = await log.read(topic, partition, next, read_records_max);
    const last = records.at(-1);
    if (!last) return;
    yield* records;
    next = last.offset + 1;
  }
}
