/** Reads partitions without a group. What a fetch brought beyond what was asked for is kept, for the call that goes on there. */
import type { LogRecord } from "../log";
import { earliest_offset, end_offset, type KafkaClient } from "./client";
import { transient } from "./errors";
import { errorOfCode } from "./kafkajs";
import type { Patience } from "./patience";
import { RecordSet } from "./record-set";

const fetch_bytes_max = 4_194_304;
const kept_max = 4;

export class Reader {
  /** By topic and partition, the one used last at the end. */
  private readonly kept = new Map<string, RecordSet>();

  constructor(
    private readonly client: KafkaClient,
    private readonly patience: Patience,
  ) {}

  async read(topic: string, partition: number, offset: number, records_max: number): Promise<readonly LogRecord[]> {
    const place = `${topic}/${partition}`;
    let from = offset;
    for (;;) {
      let set = this.kept.get(place);
      this.kept.delete(place);
      if (set?.next_offset !== from || set.isOver) {
        const fetched = await this.fetch(topic, partition, from);
        if (!fetched) return [];
        set = fetched;
      }
      const records = set.take(records_max);
      if (!set.isOver) this.keep(place, set);
      if (records.length > 0) return records;
      from = set.next_offset;
    }
  }

  /** Undefined at the end. */
  private async fetch(topic: string, partition: number, offset: number): Promise<RecordSet | undefined> {
    const { client } = this;
    let from = offset;
    const attempt = async () => {
      const { nodeId } = await client.leaderBroker(topic, partition);
      const limits = { wait_ms: 0, bytes_max: fetch_bytes_max, partition_bytes_max: fetch_bytes_max };
      const [answer] = await client.fetch(nodeId, [{ topic, partition, offset: from }], limits);
      if (!answer) throw transient(`the broker left partition ${partition} of ${topic} out of its answer`);
      if (answer.error_code === offset_out_of_range) {
        const earliest = await client.offsets(topic, partition, earliest_offset);
        if (from >= earliest) return undefined;
        from = earliest;
        throw transient(`records of ${topic}, partition ${partition}, begin at ${earliest}`);
      }
      if (answer.error_code !== 0) throw errorOfCode(answer.error_code);
      return answer.bytes.length === 0 ? undefined : new RecordSet(topic, partition, from, answer.bytes);
    };
    const what = `reading ${topic}, partition ${partition}`;
    return this.patience.untilKnown(attempt, { what, recover: () => client.refresh() });
  }

  async bounds(topic: string, partition: number): Promise<{ readonly earliest: number; readonly end: number }> {
    const { client } = this;
    const both = () =>
      Promise.all([client.offsets(topic, partition, earliest_offset), client.offsets(topic, partition, end_offset)]);
    const what = `asking for the bounds of ${topic}, partition ${partition}`;
    const [earliest, end] = await this.patience.untilKnown(both, { what, recover: () => client.refresh() });
    return { earliest, end };
  }

  private keep(place: string, set: RecordSet): void {
    this.kept.set(place, set);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= kept_max) break;
      this.kept.delete(oldest);
    }
  }
}

export const offset_out_of_range = 1;
