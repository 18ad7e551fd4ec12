/** A source and its member against a coordinator that answers as it is told to. */
import { setTimeout as sleep } from "node:timers/promises";
import type { TopicPartition } from "@assay/stream/kafka/assignment";
import { encodeAssignment } from "@assay/stream/kafka/assignment";
import type { KafkaClient } from "@assay/stream/kafka/client";
import { type KafkaError, transient } from "@assay/stream/kafka/errors";
import { errorOfCode } from "@assay/stream/kafka/kafkajs";
import { Patience } from "@assay/stream/kafka/patience";
import { KafkaSource } from "@assay/stream/kafka/source";
import type { SourceEvent } from "@assay/stream/log";

const rebalance_in_progress = 27;
const unknown_member = 25;
const group_authorization_failed = 30;
const session_ms = 150; // a beat each 10 ms

/** Of a group with one member, which gets the one partition there is. */
class Coordinator {
  joins = 0;
  beats = 0;
  /** What these requests fail of. */
  join: KafkaError | undefined;
  beat: KafkaError | undefined;
  offsets: KafkaError | undefined;
  private readonly partitions: readonly TopicPartition[] = [{ topic: "t", partition: 0 }];

  readonly connectionPool = {
    send: async () => {
      this.joins++;
      await sleep(1);
      if (this.join) throw this.join;
      return { generationId: this.joins, leaderId: "another", memberId: "m", members: [] };
    },
  };

  lookupRequest() {
    return (request: object) => request;
  }

  async syncGroup() {
    return { memberAssignment: encodeAssignment(this.partitions) };
  }

  async heartbeat() {
    this.beats++;
    if (this.beat) throw this.beat;
  }

  async leaveGroup() {
    return undefined;
  }

  async offsetFetch() {
    return { responses: [] };
  }
}

let coordinator: Coordinator;
let source: KafkaSource;
let patience: Patience;

beforeEach(() => open(2_000));
afterEach(() => {
  patience.close();
  return source.close();
});

function open(retry_wait_ms: number): void {
  const at = new Coordinator();
  coordinator = at;
  const client = {
    coordinator: async () => at,
    refresh: async () => undefined,
    leader: () => 1,
    async offsets() {
      if (at.offsets) throw at.offsets;
      return 0;
    },
    async fetch() {
      await sleep(5);
      return [];
    },
    close: async () => undefined,
  } as unknown as KafkaClient;
  patience = new Patience(retry_wait_ms, undefined);
  source = new KafkaSource(client, client, patience, {
    group: "g",
    topics: ["t"],
    from: "earliest",
    batch_records_max: 1,
    session_ms,
    rebalance_ms: 1_000,
    retry_wait_ms,
    prefix: "",
    beforeRecords: undefined,
    logger: undefined,
    onClosed: () => undefined,
  });
}

async function until(kind: SourceEvent["kind"]): Promise<SourceEvent> {
  for (const deadline = performance.now() + 3_000; performance.now() < deadline; ) {
    const event = await source.next(20);
    if (event.kind === kind) return event;
  }
  throw new Error(`no ${kind} came`);
}

it("beats on while the group rebalances, so that the session lasts as long as the work in hand", async () => {
  await until("assigned");
  coordinator.beat = errorOfCode(rebalance_in_progress);
  await sleep(50);
  const before = coordinator.beats;
  await sleep(100);
  expect(coordinator.beats).toBeGreaterThan(before + 2);
  expect(coordinator.joins).toBe(1);
  coordinator.beat = errorOfCode(unknown_member);
  await sleep(50);
  const lost = coordinator.beats;
  await sleep(50);
  expect(coordinator.beats).toBe(lost);
  expect(await until("revoked")).toMatchObject({ generation: 1 });
  coordinator.beat = undefined;
  expect(await until("assigned")).toMatchObject({ generation: 2 });
});

it("fails, again and again, when the right to the group is taken away from its member", async () => {
  await until("assigned");
  coordinator.beat = errorOfCode(group_authorization_failed);
  coordinator.join = coordinator.beat;
  await until("revoked");
  for (let n = 0; n < 2; n++) await expect(until("assigned")).rejects.toThrow(/authorized/i);
  expect(coordinator.joins).toBe(2);
});

it("fails when joining again was given up, and when where to begin can't be asked", async () => {
  await source.close();
  open(100);
  await until("assigned");
  coordinator.beat = errorOfCode(unknown_member);
  coordinator.join = transient("away");
  await until("revoked");
  await expect(until("assigned")).rejects.toThrow(/joining the group g was given up/);

  await source.close();
  open(100);
  await until("assigned");
  coordinator.beat = errorOfCode(unknown_member);
  coordinator.offsets = errorOfCode(29);
  await until("revoked");
  await expect(until("assigned")).rejects.toThrow(/authorized/i);
});
