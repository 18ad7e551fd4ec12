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
let onReset: () => void;
let stalls: number[];
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
  onReset = () => undefined;
  stalls = [];
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
        await new Promise((resolve) => setTimeout(resolve, 20));
        onReset();
      },
    },
    patience,
    {
      group: "g",
      retry_wait_ms,
      stall_ms: 30,
      logger: { info: tell, warn: tell, error: tell },
      onNews: () => wake(),
      onStall: (generation) => stalls.push(generation),
    },
  );
  assign();
}

function assign(generation = 7): void {
  fetcher.assign(
    [0, 1, 2, 3].map((partition) => ({ topic: "t", partition, position: 0 })),
    generation,
  );
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

async function untilStalled(): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (stalls.length === 0 && performance.now() < deadline) {
    fetcher.ask();
    await news();
  }
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
    assign();
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

  it("makes all connections anew, once, when records are there and don't come", async () => {
    answer = () => ({ error_code: 0, end: 5, bytes: Buffer.alloc(0) });
    await untilStalled();
    expect(resets).toBe(1);
    expect(stalls).toEqual([7]);
    expect(told).toEqual([
      {
        fields: expect.objectContaining({ topic: "t", group: "g", position: 0, end: 5, stall_ms: 30 }),
        message: "no records come, though there are some: all connections are made anew",
      },
    ]);
  });

  it("gives up the generation that stalled, also when it is told so in the next", async () => {
    answer = () => ({ error_code: 0, end: 5, bytes: Buffer.alloc(0) });
    onReset = () => assign(8);
    await untilStalled();
    expect(stalls).toEqual([7]);
  });

  it("takes partitions that wait for others, which fill the answers, for no stall", async () => {
    const one = await batch(0, 1);
    leaders = [1, 1, 1, 1];
    answer = ({ partition }, fetch) =>
      partition === fetches[fetch - 1]?.places[0]?.partition
        ? { error_code: 0, end: 1_000, bytes: one }
        : { error_code: 0, end: 1_000, bytes: Buffer.alloc(0) };
    const from: number[] = [];
    for (const until = performance.now() + 200; performance.now() < until; ) {
      from.push(...(await takeFrom(1)));
      await new Promise((resolve) => setTimeout(resolve, 15)); // so that a turn of all takes longer than stall_ms
      for (const partition of [0, 1, 2, 3]) fetcher.seek({ topic: "t", partition }, 0);
    }
    expect(new Set(from)).toEqual(new Set([0, 1, 2, 3]));
    expect(resets).toBe(0);
    expect(stalls).toEqual([]);
  });

  it.each([
    [
      "dropped before they were read",
      5,
      /the group g reads t, partition \d, at offset 5, but the log begins at 10 .* 5 records were dropped/,
    ],
    ["lost by the log", 25, /at offset 25, but the log ends at 20 .* has lost records/],
  ])("fails where records were %s, instead of skipping any", async (_name, position, message) => {
    answer = () => ({ error_code: out_of_range, end: -1, bytes: Buffer.alloc(0) });
    for (const partition of [0, 1, 2, 3]) fetcher.seek({ topic: "t", partition }, position);
    await expect(takeFrom(1)).rejects.toThrow(message);
  });

  it("goes on where a position is out of range for a moment only", async () => {
    const one = await batch(15, 1);
    answer = (_place, fetch) =>
      fetch <= 2 ? { error_code: out_of_range, end: -1, bytes: Buffer.alloc(0) } : { error_code: 0, end: 20, bytes: one };
    for (const partition of [0, 1, 2, 3]) fetcher.seek({ topic: "t", partition }, 15);
    expect(new Set(await takeFrom(4))).toEqual(new Set([0, 1, 2, 3]));
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

  it("waits for nothing once its partitions are another member's, so that readiness doesn't say so for ever", async () => {
    const begun = jest.spyOn(patience, "begin");
    const ended = jest.spyOn(patience, "end");
    failing = transient("away");
    const waiting = news();
    fetcher.ask();
    await waiting;
    expect(begun).toHaveBeenCalledTimes(1);
    fetcher.assign([], 8);
    expect(ended).toHaveBeenCalledTimes(1);
    await new Promise((resolve) => setTimeout(resolve, 50)); // what was under way fails too
    expect(begun).toHaveBeenCalledTimes(1);
  });
});
