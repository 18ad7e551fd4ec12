/** What a fetch brought of one partition: batches, decoded one by one as records are asked for. */
import type { LogRecord } from "../log";
import { decodeRecordBatch } from "./record-batch";

/** Of one take: decoding more in one go would make a long pause. */
const take_bytes_max = 2_097_152;

export class RecordSet {
  private over = false;
  private next: number;
  /** Where the next batch begins in the bytes. */
  private place = 0;
  private decoded: readonly LogRecord[] = [];
  private taken = 0;
  /** Where the batch in hand ends as it was written, which compaction doesn't change. */
  private batch_end = 0;

  constructor(
    private readonly topic: string,
    private readonly partition: number,
    /** Records before it, which share its batch, aren't given. */
    offset: number,
    private readonly bytes: Buffer,
  ) {
    this.next = offset;
  }

  /** The offset to read after what was taken; past batches that compaction has emptied, too. */
  get next_offset(): number {
    return this.next;
  }

  get isOver(): boolean {
    return this.over;
  }

  /** Up to so many records, none only at the end. */
  take(records_max: number): readonly LogRecord[] {
    const records: LogRecord[] = [];
    let bytes = 0;
    while (records.length < records_max && bytes < take_bytes_max) {
      const record = this.decoded[this.taken];
      if (record) {
        this.taken++;
        if (record.offset < this.next) continue;
        records.push(record);
        this.next = record.offset + 1;
        bytes += record.value?.length ?? 0;
      } else if (!this.decodeNext()) break;
    }
    while (this.taken === this.decoded.length && this.decodeNext()); // past what is empty
    return records;
  }

  private decodeNext(): boolean {
    if (this.over) return false;
    this.next = Math.max(this.next, this.batch_end);
    const batch = decodeRecordBatch(this.topic, this.partition, this.bytes, this.place);
    if (!batch) {
      this.over = true;
      return false;
    }
    this.place = batch.next;
    this.batch_end = batch.last_offset + 1;
    this.decoded = batch.records;
    this.taken = 0;
    return true;
  }
}
