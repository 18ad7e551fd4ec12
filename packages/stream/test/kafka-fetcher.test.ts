/** The fetcher against brokers that answer as they are told to. */
import { transient } from "@assay/stream/kafka/errors";
import { Fetcher } from "@assay/stream/kafka/fetcher";
import { Patience } from "@assay/stream/kafka/patience";
import { encodeRecordBatch } from "@assay/stream/kafka/record-batch";
import type { Fetched, FetchPlace } from "@assay/stream/kafka/record-requests";

type Answer = Pick<Fetched, "error_code" | "end" | "bytes">;
const out_of_range = 1;
const nothing: Answer = { error_code: 0, end: 0, bytes: Buffer.alloc(0) };

let fetches: { readonly leader: number; readonly places: readonly FetchPlace[] }[];
let answer: (place: FetchPlace, fetch: number) => Answer;
let failing: Error | undefined;
let leaders: (number | undefined)[];
let resets: number;
let stalls: number;
let told: { readonly fields: object; readonly message: string }[];
let patience: Patience;
let fetcher: Fetcher;
let wake: () => void;

beforeEach(() => {
  fetches = [];
  answer = () => nothing;
  failing = undefined;
  leaders = [1, 1, 2, 2];
  resets = 0;
  stalls = 0;
  told = [];
  wake = () => undefined;
  open(10_000);
});
afterEach(close);

function close(): void {
  fetcher.close();
  patience.close();
}

function open(retry_wait_ms: number): void {
  const tell = (fields: object, message: string) => void told.push({ fields, message });
  patience = new Patience(retry_wait_ms, undefined);
  fetcher = new Fetcher(
    {
      leader: (_topic, partition) => leaders[partition],
      async fetch(leader, places) {
        fetches.push({ leader, places });
        await new Promise((resolve) => setTimeout(resolve, 2));
        if (failing) throw failing;
        return places.map((place) => ({ ...place, ...answer(place, fetches.length) }));
      },
      offsets: async (_topic, _partition, which) => (which === -2 ? 10 : 20),
      refresh: async () => undefined,
      async reset() {
        resets++;
      },
    },
    patience,
    {
      group: "g",
      retry_wait_ms,
      stall_ms: 30,
      logger: { info: tell, warn: tell, error: tell },
      onNews: () => wake(),
      onStall: () => stalls++,
    },
  );
  fetcher.assign([0, 1, 2, 3].map((partition) => ({ topic: "t", partition, position: 0 })));
}

function news(): Promise<void> {
  return new Promise((resolve) => {
    wake = resolve;
  });
}

async function batch(offset: number, count: number): Promise<Buffer> {
  const records = Array.from({ length: count }, () => ({ key: null, value: Buffer.from("v"), timestamp: 1 }));
  const bytes = await encodeRecordBatch(records, "none", { producer_id: 1n, producer_epoch: 0, first_sequence: 0 });
  bytes.writeBigInt64BE(BigInt(offset));
  return bytes;
}

/** Takes, or asks and waits, until it has taken from so many partitions. */
async function takeFrom(times: number, records_max = 100): Promise<number[]> {
  const from: number[] = [];
  while (from.length < times) {
    const taken = fetcher.take(records_max);
    if (taken) from.push(taken.partition);
    else {
      const waiting = news();
      fetcher.ask();
      await waiting;
    }
  }
  return from;
}

describe("the fetcher", () => {
  it("asks each leader once for all of its partitions, and again only when nothing is in hand", async () => {
    const two = await batch(0, 2);
    answer = ({ offset }) => (offset === 0 ? { error_code: 0, end: 2, bytes: two } : nothing);
    fetcher.ask();
    fetcher.ask();
    await new Promise((resolve) => setTimeout(resolve, 50)); // both have answered
    fetcher.ask();
    expect(fetches.map(({ leader, places }) => [leader, places.map(({ partition }) => partition)])).toEqual([
      [1, [0, 1]],
      [2, [2, 3]],
    ]);
    expect(await takeFrom(8, 1)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    expect(fetches).toHaveLength(2);
  });

  it("puts partitions that have had their turn behind the others, since answers are limited", async () => {
    const one = await batch(0, 1);
    leaders = [1, 1, 1, 1];
    answer = ({ partition }, fetch) =>
      partition === fetches[fetch - 1]?.places[0]?.partition ? { error_code: 0, end: 1_000, bytes: one } : nothing; // the first fills it
    fetcher.assign([0, 1, 2, 3].map((partition) => ({ topic: "t", partition, position: 0 })));
    expect(new Set(await takeFrom(4))).toEqual(new Set([0, 1, 2, 3]));
  });

  it("drops what was under way for a position that has moved", async () => {
    const ten = await batch(0, 10);
    answer = () => ({ error_code: 0, end: 10, bytes: ten });
    const waiting = news();
    fetcher.ask();
    for (let partition = 0; partition < 4; partition++) fetcher.seek({ topic: "t", partition }, 7);
    await waiting;
    expect(fetcher.take(100)).toBeUndefined();
    await takeFrom(1);
    expect(fetches.at(-1)?.places[0]?.offset).toBe(7);
  });

  it("makes all connections anew when records are there and don't come", async () => {
    answer = () => ({ error_code: 0, end: 5, bytes: Buffer.alloc(0) });
    const deadline = performance.now() + 5_000;
    while (stalls === 0 && performance.now() < deadline) {
      fetcher.ask();
      await news();
    }
    expect(resets).toBeGreaterThan(0);
    expect(told).toContainEqual({
      fields: expect.objectContaining({ topic: "t", group: "g", position: 0, end: 5, stall_ms: 30 }),
      message: "no records come, though there are some: all connections are made anew",
    });
  });

  it("tells what was lost to retention, and goes on at the earliest", async () => {
    const kept = await batch(10, 1);
    answer = ({ offset }) =>
      offset === 0 ? { error_code: out_of_range, end: -1, bytes: Buffer.alloc(0) } : { error_code: 0, end: 20, bytes: kept };
    await takeFrom(4);
    const offsets = fetches.flatMap(({ places }) => places.map(({ offset }) => offset));
    expect(new Set(offsets.filter((offset) => offset <= 10))).toEqual(new Set([0, 10]));
    expect(told).toHaveLength(4);
    expect(told[0]).toMatchObject({ fields: { position: 0, earliest: 10, end: 20 } });
  });

  it("reads other partitions while one has no leader", async () => {
    leaders = [undefined, 1, 1, 1];
    const one = await batch(0, 1);
    answer = ({ offset }) => (offset === 0 ? { error_code: 0, end: 1, bytes: one } : { ...nothing, end: 1 });
    expect(new Set(await takeFrom(3))).toEqual(new Set([1, 2, 3]));
    leaders = [1, 1, 1, 1];
    expect(await takeFrom(1)).toEqual([0]);
  });

  it("fails after retry_wait_ms without an answer, and at once with what waiting doesn't mend", async () => {
    close();
    open(100);
    failing = transient("away");
    await expect(takeFrom(1)).rejects.toThrow(/reading as the group g was given up after \d+ ms; .*away/);
    close();
    open(10_000);
    failing = new Error("no right to it");
    await expect(takeFrom(1)).rejects.toThrow("no right to it");
  });
});
