/** A stage whose outputs hang on all of its state: a count and a sum per key. And the plain fold that it must agree with. */
import type { LogRecord, NewRecord } from "@assay/stream/log";
import type { Block, Sink, Stage, StateForm } from "@assay/stream/stage";

export const input = "test.input";

export interface Row {
  readonly partition: number;
  readonly offset: number;
  readonly index: number;
  readonly text: string;
}

export interface Counts {
  readonly partition: number;
  readonly entries: Map<string, { count: number; sum: number }>;
  readonly dirty: Set<number>;
}

export const countsForm: StateForm<Counts> = {
  version: 1,
  buckets: 8,
  empty: (partition) => ({ partition, entries: new Map(), dirty: new Set() }),
  restore(partition, buckets) {
    const entries = buckets.flatMap((bucket) => Object.entries((bucket ?? {}) as Record<string, { count: number; sum: number }>));
    return { partition, entries: new Map(entries), dirty: new Set([0, 1, 2]) };
  },
  takeDirty(state) {
    const dirty = [...state.dirty];
    state.dirty.clear();
    return dirty;
  },
  snapshot(state, bucket) {
    const entries = [...state.entries].filter(([key]) => bucketOf(key) === bucket);
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  },
};

/** Values are numbers. 0 forgets the key; others give none, one or two rows. */
export function reduceCounts(state: Counts, record: LogRecord, outputs: Row[]): void {
  const key = record.key?.toString() ?? "";
  const number = Number(record.value?.toString());
  state.dirty.add(bucketOf(key));
  if (number === 0) {
    state.entries.delete(key);
    return;
  }
  const { count, sum } = state.entries.get(key) ?? { count: 0, sum: 0 };
  const entry = { count: count + 1, sum: sum + number };
  state.entries.set(key, entry);
  for (let index = 0; index < number % 3; index++) {
    const text = `${key} ${entry.count} ${entry.sum} of ${state.entries.size}`;
    outputs.push({ partition: state.partition, offset: record.offset, index, text });
  }
}

export function countingStage(sink: Sink<Row>, limits: Partial<Stage<Counts, Row>["limits"]> = {}): Stage<Counts, Row> {
  return {
    name: "counting",
    input,
    state: countsForm,
    reduce: reduceCounts,
    sink,
    limits: {
      batch_records_max: 10,
      flush_outputs_max: 5,
      flush_wait_ms: 1,
      checkpoint_wait_ms: 1,
      tick_wait_ms: 1_000,
      slice_ms: 5,
      ...limits,
    },
  };
}

/** What the stage must have told of a partition's records. */
export function expectedRows(partition: number, records: readonly LogRecord[]): Row[] {
  const state = countsForm.empty(partition);
  const rows: Row[] = [];
  for (const record of records) reduceCounts(state, record, rows);
  return rows;
}

export function randomInput(random: () => number, partitions: number, count: number): NewRecord[] {
  return Array.from({ length: count }, () => ({
    topic: input,
    partition: Math.floor(random() * partitions),
    key: `key-${Math.floor(random() * 12)}`,
    value: Buffer.from(String(Math.floor(random() * 7))),
  }));
}

/** Counts a block once, by its identity, as ClickHouse does by a token. Only a partition's last block may come again. */
export class ExactSink implements Sink<Row> {
  readonly exact = true;
  readonly blocks = new Map<string, Block<Row>>();
  private readonly last = new Map<number, string>();
  repeats = 0;

  async write(block: Block<Row>): Promise<void> {
    const identity = `${block.stage} ${block.partition} [${block.from}, ${block.to})`;
    const known = this.blocks.get(identity);
    if (known) {
      this.repeats++;
      expect(this.last.get(block.partition)).toBe(identity);
      expect(block.outputs).toEqual(known.outputs);
      expect(block.origin).toBe(known.origin);
      return;
    }
    this.blocks.set(identity, block);
    this.last.set(block.partition, identity);
  }

  rows(partition: number): Row[] {
    const blocks = [...this.blocks.values()].filter((b) => b.partition === partition).sort((a, b) => a.from - b.from);
    for (const [at, block] of blocks.entries()) expect(block.from).toBeGreaterThanOrEqual(blocks[at - 1]?.to ?? 0);
    return blocks.flatMap((b) => b.outputs);
  }
}

/** Drops repeats by their position, as readers of an at-least-once topic do; a repeat must say the same. */
export class RepeatingSink implements Sink<Row> {
  readonly exact = false;
  private readonly seen = new Map<string, Row>();
  repeats = 0;

  async write(block: Block<Row>): Promise<void> {
    for (const row of block.outputs) {
      expect(row.offset).toBeGreaterThanOrEqual(block.from);
      expect(row.offset).toBeLessThan(block.to);
      const position = `${row.partition} ${row.offset} ${row.index}`;
      const known = this.seen.get(position);
      if (known) {
        this.repeats++;
        expect(row).toEqual(known);
      }
      this.seen.set(position, row);
    }
  }

  rows(partition: number): Row[] {
    return [...this.seen.values()]
      .filter((row) => row.partition === partition)
      .sort((a, b) => a.offset - b.offset || a.index - b.index);
  }
}

function bucketOf(key: string): number {
  return key.length === 0 ? 0 : (key.charCodeAt(key.length - 1) + key.length) % countsForm.buckets;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
