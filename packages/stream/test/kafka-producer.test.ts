/** The producer against brokers that answer as they are told to: what the single broker of the integration tests can't do. */
import { transient } from "@assay/stream/kafka/errors";
import { Patience } from "@assay/stream/kafka/patience";
import type { PreparedRecord } from "@assay/stream/kafka/prepare-records";
import { batch_bytes_max } from "@assay/stream/kafka/produce-batch";
import { Producer, partition_queue_bytes_max, queue_bytes_max } from "@assay/stream/kafka/producer";
import { decodeRecordBatch } from "@assay/stream/kafka/record-batch";
import type { ProduceBatch, Produced } from "@assay/stream/kafka/record-requests";
import { LogFullError } from "@assay/stream/log";

const not_leader = 6;
const too_large = 10;
const out_of_order = 45;

/** Two brokers that each lead every other partition, and know a repeat by producer and sequence, as Kafka does. */
class Brokers {
  readonly sends: { readonly leader: number; readonly batches: readonly ProduceBatch[] }[] = [];
  /** By partition, in order of arrival. */
  readonly stored = new Map<number, string[]>();
  readonly resets: string[] = [];
  producer_ids = 0;
  /** Says what a send comes to, instead of being stored: an error, or error codes by partition. before: it is stored all the same. */
  disturb: (
    send: number,
    leader: number,
  ) =>
    | {
        readonly error?: Error;
        readonly codes?: Record<number, number>;
        readonly stored?: boolean;
        readonly held?: Promise<void>;
      }
    | undefined = () => undefined;
  private readonly known = new Map<string, number>();

  readonly leaderless = new Set<number>();

  leader(_topic: string, partition: number): number | undefined {
    return this.leaderless.has(partition) ? undefined : partition % 2;
  }

  async newProducerId() {
    return { producer_id: BigInt(++this.producer_ids), producer_epoch: 0 };
  }

  refreshes = 0;

  async refresh(): Promise<void> {
    this.refreshes++;
  }

  async reset(why: string): Promise<void> {
    this.resets.push(why);
  }

  async produce(leader: number, batches: readonly ProduceBatch[]): Promise<readonly Produced[]> {
    this.sends.push({ leader, batches });
    const disturbed = this.disturb(this.sends.length, leader);
    await disturbed?.held;
    if (disturbed?.error && !disturbed.stored) throw disturbed.error;
    const answers = batches.map((batch) => {
      const code = disturbed?.codes?.[batch.partition] ?? 0;
      return { ...batch, error_code: code, base_offset: code === 0 ? this.store(batch) : -1 };
    });
    if (disturbed?.error) throw disturbed.error;
    return answers;
  }

  private store({ topic, partition, bytes }: ProduceBatch): number {
    const identity = `${partition} of producer ${bytes.readBigInt64BE(43)} at ${bytes.readInt32BE(53)}`;
    const before = this.known.get(identity);
    if (before !== undefined) return before;
    const all = this.stored.get(partition) ?? [];
    this.stored.set(partition, all);
    this.known.set(identity, all.length);
    all.push(...(decodeRecordBatch(topic, partition, bytes, 0)?.records ?? []).map(({ value }) => String(value)));
    return this.known.get(identity) ?? -1;
  }
}

let brokers: Brokers;
let producer: Producer;

beforeEach(() => {
  brokers = new Brokers();
  producer = new Producer(brokers, new Patience(10_000, undefined), "none", 10_000);
});

function record(partition: number, value: string): PreparedRecord {
  return { topic: "t", partition, key: null, value: Buffer.from(value), timestamp: 1 };
}

describe("the producer", () => {
  it("sends what comes together in one batch for each partition, to each leader its own", async () => {
    const calls = [producer.append([record(0, "a"), record(1, "b")]), producer.append([record(0, "c"), record(2, "d")])];
    expect(await Promise.all(calls)).toEqual([
      [
        { partition: 0, offset: 0 },
        { partition: 1, offset: 0 },
      ],
      [
        { partition: 0, offset: 1 },
        { partition: 2, offset: 0 },
      ],
    ]);
    const sends = brokers.sends.map(({ leader, batches }) => [leader, batches.map(({ partition }) => partition)]);
    expect(sends.sort()).toEqual([
      [0, [0, 2]],
      [1, [1]],
    ]);
  });

  it("has one send under way, and gathers what comes meanwhile", async () => {
    const first = producer.append([record(0, "0")]);
    await Promise.resolve();
    const calls = Array.from({ length: 20 }, (_, n) => producer.append([record(0, String(n + 1))]));
    await Promise.all([first, ...calls]);
    expect(brokers.sends.length).toBeLessThanOrEqual(2);
    expect(brokers.stored.get(0)).toEqual(Array.from({ length: 21 }, (_, n) => String(n)));
  });

  it("sends what is appended right after an answer", async () => {
    for (let n = 0; n < 20; n++) expect(await producer.append([record(0, String(n))])).toEqual([{ partition: 0, offset: n }]);
  });

  it("sends again, the very same, only what isn't known to be written", async () => {
    brokers.disturb = (send, leader) => {
      if (send > 2) return undefined;
      return leader === 0 ? { codes: { 2: not_leader } } : { error: transient("the connection ended"), stored: true };
    };
    expect(await producer.append([record(0, "a"), record(1, "b"), record(2, "c")])).toEqual(
      [0, 1, 2].map((partition) => ({ partition, offset: 0 })),
    );
    const again = brokers.sends.slice(2);
    const [to_zero, to_one] = brokers.sends.slice(0, 2).sort((a, b) => a.leader - b.leader);
    expect(to_zero?.batches.map(({ partition }) => partition)).toEqual([0, 2]);
    const repeated = again.flatMap(({ batches }) => batches);
    expect(repeated.map(({ partition }) => partition).sort()).toEqual([1, 2]);
    expect(repeated.find(({ partition }) => partition === 1)?.bytes).toEqual(to_one?.batches[0]?.bytes);
    expect([...brokers.stored.values()].sort()).toEqual([["a"], ["b"], ["c"]]);
    expect(brokers.producer_ids).toBe(1);
    expect(brokers.refreshes).toBe(2); // of each of the two sends the leaders may have changed
  });

  it("takes a new id and ends its connections when it has given up, so that what comes next isn't taken for a repeat", async () => {
    producer = new Producer(brokers, new Patience(50, undefined), "none", 50);
    await producer.append([record(0, "before")]);
    brokers.disturb = (send) => (send === 2 ? { error: transient("lost"), stored: true } : { error: transient("lost") });
    await expect(producer.append([record(0, "unknown")])).rejects.toThrow(/an append to t was given up/);
    expect(brokers.resets).toEqual(["an append was given up"]);
    brokers.disturb = () => undefined;
    expect(await producer.append([record(0, "later")])).toEqual([{ partition: 0, offset: 2 }]);
    expect(brokers.stored.get(0)).toEqual(["before", "unknown", "later"]);
    expect(brokers.producer_ids).toBe(2);
  });

  it("takes a new id where a broker has lost track of its sequence", async () => {
    brokers.disturb = (send) => (send === 1 ? { codes: { 0: out_of_order } } : undefined);
    expect(await producer.append([record(0, "a"), record(2, "b")])).toEqual([
      { partition: 0, offset: 0 },
      { partition: 2, offset: 0 },
    ]);
    expect(brokers.producer_ids).toBe(2);
    expect([...brokers.stored.values()]).toEqual([["b"], ["a"]]);
  });

  it("rejects what a broker refuses, and goes on with the rest", async () => {
    brokers.disturb = (send) => (send === 1 ? { codes: { 0: too_large } } : undefined);
    const refused = producer.append([record(0, "a")]);
    const taken = producer.append([record(2, "b")]);
    await expect(refused).rejects.toThrow(/1 records for t, partition 0, were refused: .*larger/);
    expect(await taken).toEqual([{ partition: 2, offset: 0 }]);
    expect(await producer.append([record(0, "c")])).toEqual([{ partition: 0, offset: 0 }]);
  });

  it("takes a new id where a batch is refused that may have been written before", async () => {
    brokers.disturb = (send) => (send === 1 ? { error: transient("lost"), stored: true } : { codes: { 0: too_large } });
    await expect(producer.append([record(0, "unknown")])).rejects.toThrow(/were refused/);
    brokers.disturb = () => undefined;
    expect(await producer.append([record(0, "later")])).toEqual([{ partition: 0, offset: 1 }]);
    expect(brokers.stored.get(0)).toEqual(["unknown", "later"]);
    expect(brokers.producer_ids).toBe(2);
  });

  it("keeps the id under which a batch of another partition is still to be known", async () => {
    brokers.disturb = (send, leader) => {
      if (leader === 0) return send <= 2 ? { codes: { 0: out_of_order } } : undefined;
      return send <= 2 ? { error: transient("lost"), stored: true } : undefined;
    };
    expect(await producer.append([record(0, "a"), record(1, "b")])).toEqual(
      [0, 1].map((partition) => ({ partition, offset: 0 })),
    );
    expect([...brokers.stored.values()].sort()).toEqual([["a"], ["b"]]);
    expect(brokers.producer_ids).toBe(2);
  });

  it("sends to other partitions while one has no leader, and to other brokers while one doesn't answer", async () => {
    let answer: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    brokers.disturb = (_send, leader) => (leader === 1 ? { held } : undefined);
    brokers.leaderless.add(2);
    const waiting = Promise.all([producer.append([record(2, "no leader")]), producer.append([record(1, "no answer")])]);
    for (let n = 0; n < 3; n++) expect(await producer.append([record(0, String(n))])).toEqual([{ partition: 0, offset: n }]);
    brokers.leaderless.clear();
    answer();
    expect(await waiting).toEqual([[{ partition: 2, offset: 0 }], [{ partition: 1, offset: 0 }]]);
  });

  it("refuses what comes when too much waits, for one partition and for all, and nothing else", async () => {
    for (let partition = 0; partition < 40; partition++) brokers.leaderless.add(partition);
    const value = "x".repeat(partition_queue_bytes_max);
    const fill = [0, 2, 4].map((partition) => producer.append([record(partition, value)]));
    await expect(producer.append([record(1, "a"), record(2, "b")])).rejects.toThrow(LogFullError);
    await expect(producer.append([record(2, "b")])).rejects.toThrow(/wait to be appended to t, partition 2, of \d+ at most/);
    const fitting = producer.append([record(1, "y".repeat(queue_bytes_max - 3 * partition_queue_bytes_max))]);
    await expect(producer.append([record(3, "c")])).rejects.toThrow(LogFullError);
    brokers.leaderless.clear();
    await Promise.all([...fill, fitting]);
    expect(await producer.append([record(2, "d")])).toEqual([{ partition: 2, offset: 1 }]);
    expect([...brokers.stored.values()].flat().filter((stored) => stored.length === 1)).toEqual(["d"]);
  });

  it("cuts what is larger than a batch into several, in order, and drops the rest of a call that has failed", async () => {
    const large = (name: string) => name + "x".repeat(batch_bytes_max / 2);
    const names = ["a", "b", "c", "d"];
    await producer.append(names.map((name) => record(0, large(name))));
    expect(brokers.sends.map(({ batches }) => batches.length)).toEqual([1, 1, 1, 1]);
    expect(brokers.stored.get(0)?.map((value) => value[0])).toEqual(names);
    brokers.disturb = (send) => (send === 6 ? { codes: { 0: too_large } } : undefined);
    await expect(producer.append(names.map((name) => record(0, large(name))))).rejects.toThrow(/refused/);
    await producer.append([record(0, "end")]);
    expect(brokers.stored.get(0)?.map((value) => value[0])).toEqual([...names, "a", "e"]);
  });

  it("rejects appends once it is closed, and lets those under way come to their end", async () => {
    const under_way = producer.append([record(0, "a")]);
    await producer.close();
    expect(await under_way).toEqual([{ partition: 0, offset: 0 }]);
    await expect(producer.append([record(0, "b")])).rejects.toThrow(/closed/);
  });
});
