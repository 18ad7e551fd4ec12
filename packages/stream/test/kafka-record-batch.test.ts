import { crc32c } from "@assay/stream/kafka/crc32c";
import type { Compression } from "@assay/stream/kafka/options";
import { type BatchRecord, decodeRecordBatch, encodeRecordBatch } from "@assay/stream/kafka/record-batch";
import { RecordSet } from "@assay/stream/kafka/record-set";
import { varintBytes, WireReader, WireWriter, writeVarint } from "@assay/stream/kafka/wire";
import { seeded } from "./counting-stage";

const by = { producer_id: 5n, producer_epoch: 1, first_sequence: 7 };
const compressions: readonly Compression[] = ["none", "gzip", "lz4"];

function text(value: string, timestamp = 1_000): BatchRecord {
  return { key: Buffer.from("k"), value: Buffer.from(value), timestamp };
}

/** As the broker stores it: at this offset. */
async function stored(base_offset: number, records: readonly BatchRecord[], compression: Compression = "none"): Promise<Buffer> {
  const batch = await encodeRecordBatch(records, compression, by);
  batch.writeBigInt64BE(BigInt(base_offset), 0); // not guarded by the checksum
  return batch;
}

/** What the cleaner leaves of a batch whose records are all superseded: a header alone, with the offsets it had. */
async function emptied(base_offset: number, records: number): Promise<Buffer> {
  const whole = await stored(
    base_offset,
    Array.from({ length: records }, () => text("x")),
  );
  const header = Buffer.from(whole.subarray(0, 61));
  header.writeInt32BE(header.length - 12, 8);
  header.writeInt32BE(0, 57);
  header.writeUInt32BE(crc32c(header.subarray(21)), 17);
  return header;
}

describe("the checksum", () => {
  it("is that of the published check values", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(crc32c(Buffer.alloc(0))).toBe(0);
  });
});

describe("varints", () => {
  it("come back, in as many bytes as were counted", () => {
    const values = [0, -1, 1, 63, -64, 64, -65, 8_191, 2 ** 31, -(2 ** 31) - 1, 2 ** 45 + 3, -(2 ** 45) - 3, 2 ** 52 - 1];
    for (const value of values) {
      const bytes = Buffer.alloc(10);
      const end = writeVarint(bytes, 0, value);
      expect(varintBytes(value)).toBe(end);
      const reader = new WireReader(bytes);
      expect(reader.varint()).toBe(value);
      expect(reader.position).toBe(end);
    }
  });

  it("are refused where the bytes end", () => {
    expect(() => new WireReader(Buffer.from([0x80])).varint()).toThrow(RangeError);
    const written = new WireWriter().string("né").string(null).int32(-5).finish();
    const reader = new WireReader(written);
    expect([reader.string(), reader.string(), reader.int32(), reader.left]).toEqual(["né", null, -5, 0]);
    expect(() => reader.int16()).toThrow(RangeError);
  });
});

describe("a record batch", () => {
  it.each(compressions)("comes back as it was, compressed by %s", async (compression) => {
    const random = seeded(2);
    const bytes = (most: number) => Buffer.from(Array.from({ length: Math.floor(random() * most) }, () => random() * 256));
    for (let round = 0; round < 30; round++) {
      const records: BatchRecord[] = Array.from({ length: 1 + Math.floor(random() * 50) }, () => ({
        key: random() < 0.2 ? null : bytes(20),
        value: random() < 0.2 ? null : bytes(400),
        timestamp: Math.floor(random() * 2 ** 41),
      }));
      const base = Math.floor(random() * 2 ** 40);
      const batch = await stored(base, records, compression);
      const decoded = decodeRecordBatch("t", 3, Buffer.concat([Buffer.alloc(5), batch]), 5);
      expect(decoded?.records).toEqual(records.map((r, n) => ({ ...r, topic: "t", partition: 3, offset: base + n })));
      expect(decoded?.last_offset).toBe(base + records.length - 1);
      expect(decoded?.next).toBe(batch.length + 5);
    }
  });

  it("carries the newest time of its records, by which retention goes, and whose it is", async () => {
    const batch = await encodeRecordBatch([text("a", 1_000), text("b", 900), text("c", 1_100)], "lz4", by);
    expect([batch.readBigInt64BE(27), batch.readBigInt64BE(35)]).toEqual([1_000n, 1_100n]);
    expect([batch.readBigInt64BE(43), batch.readInt16BE(51), batch.readInt32BE(53)]).toEqual([5n, 1, 7]);
  });

  it("is the same when it is made again", async () => {
    for (const compression of compressions) {
      const again = () => encodeRecordBatch([text("a"), text("b")], compression, by);
      expect(await again()).toEqual(await again());
    }
  });

  it("that is damaged, or compressed in another way, is refused with where it stands", async () => {
    const damaged = await stored(9, [text("abc")]);
    damaged[65] = (damaged[65] ?? 0) ^ 1;
    expect(() => decodeRecordBatch("t", 2, damaged, 0)).toThrow("the batch at offset 9 of t, partition 2 is damaged");
    const foreign = await stored(9, [text("abc")]);
    foreign.writeInt16BE(4, 21); // zstd
    foreign.writeUInt32BE(crc32c(foreign.subarray(21)), 17);
    expect(() => decodeRecordBatch("t", 2, foreign, 0)).toThrow(/codec 4; Assay reads none, gzip \(1\) and lz4 \(3\)/);
  });
});

describe("what a fetch brought", () => {
  it("is given in the sizes asked for, over batches, without what came before the offset and what was cut off", async () => {
    const first = await stored(10, [text("10"), text("11"), text("12")], "lz4");
    const second = await stored(20, [text("20"), text("21")]);
    const third = await stored(22, [text("22")]);
    const set = new RecordSet("t", 0, 11, Buffer.concat([first, second, third.subarray(0, 70)]));
    expect(set.take(3).map(({ offset }) => offset)).toEqual([11, 12, 20]);
    expect([set.next_offset, set.isOver]).toEqual([21, false]);
    expect(set.take(3).map(({ value }) => String(value))).toEqual(["21"]);
    expect([set.next_offset, set.isOver]).toEqual([22, true]);
    expect(set.take(3)).toEqual([]);
  });

  it("goes past batches that compaction has emptied", async () => {
    const set = new RecordSet("t", 0, 0, Buffer.concat([await emptied(0, 5), await stored(5, [text("5")]), await emptied(6, 4)]));
    expect(set.take(10).map(({ offset }) => offset)).toEqual([5]);
    expect([set.next_offset, set.isOver]).toEqual([10, true]);
    const nothing = new RecordSet("t", 0, 7, await emptied(6, 4));
    expect(nothing.take(10)).toEqual([]);
    expect([nothing.next_offset, nothing.isOver]).toEqual([10, true]);
  });
});
