/**
 * Where a stage's block becomes durable: rows in ClickHouse, findings first, one insert per table, then what others follow in the
 * log: finding events, dead letters, progress.
 *
 * A block that comes twice has the same rows in the same order under the same tokens, so ClickHouse drops the repeat, also of a part
 * of it: a crash may fall between two tables. That holds while ClickHouse remembers the token, so each insert begins only where
 * the stage has confirmed within seconds that no other member has the partition. What goes to the log may come twice; its readers bear that.
 */
import { createHash } from "node:crypto";
import type { Codec } from "@assay/schemas/codec";
import type { FindingEvent } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Store } from "@assay/store/client";
import { StoreFullError } from "@assay/store/retry";
import { type Log, LogFullError, type NewRecord } from "@assay/stream/log";
import type { Block, Sink } from "@assay/stream/stage";
import { waitForRoom } from "@assay/stream/wait-for-room";
import type { EvaluatorMetrics } from "./metrics";
import type { Output } from "./outputs";
import { type FindingRow, type TableForm, type TableName, tableForms, tableNames } from "./rows";

/** In one insert; a block with more of a table is written as several, numbered ones. */
export const insert_rows_max = 50_000;
/** Of texts in one insert; a single row may be larger. */
export const insert_text_chars_max = 32 * 1024 * 1024;
const append_records_max = 1_000;
const read_records_max = 500;
/** How long a full log is waited for. */
const log_full_wait_ms = 60_000;

export interface BlockSinkParts {
  readonly store: Pick<Store, "insertBlock">;
  readonly log: Pick<Log, "append" | "bounds" | "read">;
  readonly codec: Codec;
  readonly metrics: EvaluatorMetrics;
}

export function blockSink(parts: BlockSinkParts): Sink<Output> {
  const progress = new ProgressSoFar(parts.log, parts.codec);
  return {
    exact: true,
    async write(block, confirm) {
      if (block.outputs.length === 0) return;
      const tables = byTable(block.outputs);
      for (const table of tableNames) {
        const rows = tables.get(table);
        if (rows) await insertTable(parts, block, confirm, table, rows);
      }
      await confirm();
      const records = logRecords(parts.codec, block, await progress.with(block));
      for (let i = 0; i < records.length; i += append_records_max) {
        await append(parts.log, records.slice(i, i + append_records_max));
      }
      count(parts.metrics, block);
    },
  };
}

type AnyRow = Readonly<Record<string, unknown>>;

async function insertTable(
  parts: BlockSinkParts,
  block: Block<Output>,
  confirm: () => Promise<void>,
  table: TableName,
  rows: readonly AnyRow[],
): Promise<void> {
  const form = tableForms[table];
  for (const [part, some] of inserts(sortRows(rows, form)).entries()) {
    const values = some.map((r) => form.columns.map((column) => r[column]));
    await confirm();
    const end = parts.metrics.insert.startTimer({ table });
    await parts.store
      .insertBlock({ table: `assay.${table}`, columns: form.columns, rows: values, token: token(block, table, part) })
      .catch(waitForDisk);
    end();
    parts.metrics.rows.inc({ table }, some.length);
  }
}

/** A full disk is to the stage what a full log is: it waits, and brings the same block again. */
function waitForDisk(error: unknown): never {
  throw error instanceof StoreFullError ? new LogFullError(error.message, { cause: error }) : error;
}

/** Cut where the rows alone say so, so that a repeat is cut the same way. */
function inserts(rows: readonly AnyRow[]): readonly AnyRow[][] {
  const cut: AnyRow[][] = [];
  let chars = Number.POSITIVE_INFINITY;
  for (const r of rows) {
    const more = textOf(r.evidence) + textOf(r.content);
    let last = cut.at(-1);
    if (last === undefined || last.length >= insert_rows_max || chars + more > insert_text_chars_max) {
      last = [];
      cut.push(last);
      chars = 0;
    }
    last.push(r);
    chars += more;
  }
  return cut;
}

function textOf(value: unknown): number {
  return typeof value === "string" ? value.length : 0;
}

/** origin, a record's timestamp, tells a log from another one that was begun anew over the same tables. */
function token(block: Block<Output>, table: TableName, part: number): string {
  const { stage, partition, from, to, origin = firstTimestamp(block.outputs) } = block;
  return createHash("sha256").update([stage, partition, from, to, origin, table, part].join("/")).digest("hex");
}

/** What an older release took as the origin, and did not note. */
function firstTimestamp(outputs: readonly Output[]): number {
  for (const output of outputs) {
    if (output.kind === "evaluated") return output.timestamp;
    if (output.kind === "dead_letter") return output.letter.record_timestamp;
  }
  return 0;
}

/** Of a finding's several rows in one block the last one stands for all: the table keeps just that. */
function byTable(outputs: readonly Output[]): Map<TableName, AnyRow[]> {
  const tables = new Map<TableName, AnyRow[]>();
  const findings = new Map<string, FindingRow>();
  for (const output of outputs) {
    if (output.kind !== "row") continue;
    if (output.table === "findings") {
      findings.set(output.row.finding_id, output.row);
      continue;
    }
    const rows = tables.get(output.table);
    if (rows) rows.push(output.row as unknown as AnyRow);
    else tables.set(output.table, [output.row as unknown as AnyRow]);
  }
  if (findings.size > 0) tables.set("findings", [...findings.values()] as unknown as AnyRow[]);
  return tables;
}

function sortRows(rows: readonly AnyRow[], form: TableForm): AnyRow[] {
  return [...rows].sort((a, b) => {
    for (const column of form.order) {
      const order = compare(a[column], b[column]);
      if (order !== 0) return order;
    }
    return 0;
  });
}

function compare(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return (a as string | number) < (b as string | number) ? -1 : 1;
}

/** A log that is full for a while is waited for here, so that what is inserted already isn't inserted again for it. */
async function append(log: BlockSinkParts["log"], records: readonly NewRecord[]): Promise<void> {
  const until = Date.now() + log_full_wait_ms;
  await waitForRoom(() => log.append(records), { stopping: () => Date.now() > until, onFull: () => undefined });
}

/** through: how far each host or application has been evaluated, with this block. */
function logRecords(codec: Codec, block: Block<Output>, through: ReadonlyMap<string, number>): NewRecord[] {
  const at = Date.now();
  const records: NewRecord[] = [];
  let evaluated = false;
  for (const output of block.outputs) {
    if (output.kind === "finding_event") records.push(findingRecord(codec, output.event));
    else if (output.kind === "evaluated") evaluated = true;
    else if (output.kind === "dead_letter") {
      const { letter } = output;
      const value = codec.encode("DeadLetter", { ...letter, at, service: "evaluator" });
      records.push({ topic: topics.deadLetters.name, key: letter.key ?? letter.host_id, value });
    }
  }
  if (evaluated) {
    const { stage, partition, to } = block;
    const value = codec.encode("Progress", { stage, partition, position: to, at, hosts: Object.fromEntries(through) });
    records.push({ topic: topics.progress.name, key: progressKey(block), value });
  }
  return records;
}

/**
 * How far each host or application has been evaluated. The topic is compacted by stage and partition, so a record tells of all of
 * them: one that has fallen silent is still there when the coordinator begins anew. What was told before this member got the
 * partition is read from the topic.
 */
class ProgressSoFar {
  private readonly partitions = new Map<string, { readonly generation: number; readonly through: Map<string, number> }>();

  constructor(
    private readonly log: BlockSinkParts["log"],
    private readonly codec: Codec,
  ) {}

  async with(block: Block<Output>): Promise<ReadonlyMap<string, number>> {
    const key = progressKey(block);
    const last = this.partitions.get(key);
    const through = last?.generation === block.generation ? last.through : await this.told(key);
    for (const output of block.outputs) {
      if (output.kind === "evaluated") through.set(output.subject, Math.max(through.get(output.subject) ?? 0, output.through));
    }
    this.partitions.set(key, { generation: block.generation, through });
    return through;
  }

  private async told(key: string): Promise<Map<string, number>> {
    const { name } = topics.progress;
    let last: Buffer | null = null;
    for (let { earliest: offset } = await this.log.bounds(name, 0); ; ) {
      const records = await this.log.read(name, 0, offset, read_records_max);
      const end = records.at(-1);
      if (!end) break;
      offset = end.offset + 1;
      for (const record of records) if (record.key?.toString("utf8") === key) last = record.value;
    }
    const decoded = last ? this.codec.decode(last) : undefined;
    return new Map(decoded?.name === "Progress" ? Object.entries(decoded.value.hosts) : []);
  }
}

function progressKey({ stage, partition }: Block<Output>): string {
  return `${stage}/${partition}`;
}

function findingRecord(codec: Codec, event: FindingEvent): NewRecord {
  return { topic: topics.findings.name, key: event.finding_id, value: codec.encode("FindingEvent", event) };
}

function count(metrics: EvaluatorMetrics, { stage, outputs }: Block<Output>): void {
  const now = Date.now();
  for (const output of outputs) {
    if (output.kind === "evaluated") {
      metrics.records.inc({ stage });
      if (output.received_through > 0) metrics.latency.observe({ stage }, Math.max(0, now - output.received_through) / 1000);
    } else if (output.kind === "finding_event") {
      metrics.findings.inc({ severity: output.event.severity, change: output.event.change });
    } else if (output.kind === "dead_letter") {
      metrics.dead_letters.inc({ reason: output.letter.reason });
    } else if (output.table === "outcomes") {
      metrics.outcomes.inc({ outcome: output.row.outcome });
      if (output.row.outcome === "error") metrics.rule_errors.inc({ cause: "outcome" });
    }
  }
}
