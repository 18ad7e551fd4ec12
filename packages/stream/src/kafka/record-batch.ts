/**
 * Kafka's record batches (format 2), to and from bytes.
 *
 * Of our own because kafkajs' encoder sorts timestamps as text, so that a batch may carry a wrong newest time, and its decoder drops
 * batches that compaction has emptied, after which a reader can't know where to go on. Brokers older than format 2 (0.11) aren't served.
 */
import { promisify } from "node:util";
import { gunzipSync, gzip } from "node:zlib";
import { compressFrameSync, decompressFrameSync } from "lz4-napi";
import type { LogRecord } from "../log";
import { crc32c } from "./crc32c";
import type { Compression } from "./options";
import { varintBytes, WireReader, writeVarint } from "./wire";

export interface BatchRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
}

export interface Sequenced {
  readonly producer_id: bigint;
  readonly producer_epoch: number;
  readonly first_sequence: number;
}

/** What a record takes in a batch, at most, before compression. */
export function recordBytes(record: BatchRecord): number {
  return record_overhead_bytes_max + (record.key?.length ?? 0) + (record.value?.length ?? 0);
}

/** Deterministic, so that a batch that is sent again is the same batch. */
export async function encodeRecordBatch(
  records: readonly BatchRecord[],
  compression: Compression,
  by: Sequenced,
): Promise<Buffer> {
  const [first] = records;
  if (!first) throw new Error("a record batch without records");
  const body = await compressed(encodeRecords(records, first.timestamp), compression);
  const batch = Buffer.allocUnsafe(header_bytes + body.length);
  batch.writeBigInt64BE(0n, at.base_offset);
  batch.writeInt32BE(batch.length - at.leader_epoch, at.length);
  batch.writeInt32BE(-1, at.leader_epoch);
  batch.writeInt8(format, at.format);
  batch.writeInt16BE(codecs[compression], at.attributes);
  batch.writeInt32BE(records.length - 1, at.last_offset_delta);
  batch.writeBigInt64BE(BigInt(first.timestamp), at.base_timestamp);
  batch.writeBigInt64BE(BigInt(records.reduce((newest, r) => Math.max(newest, r.timestamp), 0)), at.max_timestamp);
  batch.writeBigInt64BE(by.producer_id, at.producer_id);
  batch.writeInt16BE(by.producer_epoch, at.producer_epoch);
  batch.writeInt32BE(by.first_sequence, at.first_sequence);
  batch.writeInt32BE(records.length, at.count);
  body.copy(batch, header_bytes);
  batch.writeUInt32BE(crc32c(batch.subarray(at.attributes)), at.crc);
  return batch;
}

export interface DecodedBatch {
  readonly records: readonly LogRecord[];
  /** Of the batch as it was written: it may have no record left with it, nor any record. */
  readonly last_offset: number;
  /** Where the next batch begins in the bytes. */
  readonly next: number;
}

/** The batch that begins at this place; undefined where the rest of it is cut off, as at the end of a fetch. */
export function decodeRecordBatch(topic: string, partition: number, bytes: Buffer, begin: number): DecodedBatch | undefined {
  if (bytes.length - begin < header_bytes) return undefined;
  const next = begin + at.leader_epoch + bytes.readInt32BE(begin + at.length);
  if (next > bytes.length) return undefined;
  const where = () => `the batch at offset ${new WireReader(bytes, begin).int64()} of ${topic}, partition ${partition}`;
  if (bytes.readInt8(begin + at.format) !== format) throw new Error(`${where()} is of a format older than ${format}`);
  if (crc32c(bytes.subarray(begin + at.attributes, next)) !== bytes.readUInt32BE(begin + at.crc)) {
    throw new Error(`${where()} is damaged: its checksum doesn't fit`);
  }
  const header = new WireReader(bytes, begin);
  const base_offset = header.int64();
  const attributes = bytes.readInt16BE(begin + at.attributes);
  const last_offset = base_offset + bytes.readInt32BE(begin + at.last_offset_delta);
  if (attributes & control_flag) return { records: [], last_offset, next };
  const base_timestamp = new WireReader(bytes, begin + at.base_timestamp).int64();
  const append_time = attributes & append_time_flag ? new WireReader(bytes, begin + at.max_timestamp).int64() : undefined;
  const count = bytes.readInt32BE(begin + at.count);
  if (count === 0) return { records: [], last_offset, next };
  const body = decompressed(bytes.subarray(begin + header_bytes, next), attributes & codec_mask, where);
  const reader = new WireReader(body);
  const records: LogRecord[] = [];
  for (let n = 0; n < count; n++) {
    const end = reader.varint() + reader.position;
    reader.int8(); // attributes, unused by Kafka
    const timestamp = base_timestamp + reader.varint();
    const offset = base_offset + reader.varint();
    const key = reader.varBytes();
    const value = reader.varBytes();
    records.push({ topic, partition, offset, key, value, timestamp: append_time ?? timestamp });
    reader.slice(end - reader.position); // headers, which Assay has none of
  }
  return { records, last_offset, next };
}

const format = 2;
const at = {
  base_offset: 0,
  length: 8,
  leader_epoch: 12,
  format: 16,
  crc: 17,
  attributes: 21,
  last_offset_delta: 23,
  base_timestamp: 27,
  max_timestamp: 35,
  producer_id: 43,
  producer_epoch: 51,
  first_sequence: 53,
  count: 57,
} as const;
const header_bytes = 61;
const record_overhead_bytes_max = 32;
const codecs = { none: 0, gzip: 1, lz4: 3 } as const;
const codec_mask = 0x07;
const append_time_flag = 0x08;
const control_flag = 0x20;
const gzipped = promisify<Buffer, Buffer>(gzip);

function encodeRecords(records: readonly BatchRecord[], base_timestamp: number): Buffer {
  const sizes = records.map((record, delta) => bodyBytes(record, delta, record.timestamp - base_timestamp));
  const total = sizes.reduce((sum, size) => sum + varintBytes(size) + size, 0);
  const target = Buffer.allocUnsafe(total);
  let position = 0;
  for (const [delta, record] of records.entries()) {
    position = writeVarint(target, position, sizes[delta] ?? 0);
    target[position++] = 0; // attributes
    position = writeVarint(target, position, record.timestamp - base_timestamp);
    position = writeVarint(target, position, delta);
    position = writeVarBytes(target, position, record.key);
    position = writeVarBytes(target, position, record.value);
    target[position++] = 0; // headers
  }
  return target;
}

function bodyBytes({ key, value }: BatchRecord, delta: number, timestamp_delta: number): number {
  return 2 + varintBytes(timestamp_delta) + varintBytes(delta) + varBytesBytes(key) + varBytesBytes(value);
}

function varBytesBytes(bytes: Buffer | null): number {
  return bytes === null ? 1 : varintBytes(bytes.length) + bytes.length;
}

function writeVarBytes(target: Buffer, position: number, bytes: Buffer | null): number {
  const begin = writeVarint(target, position, bytes?.length ?? -1);
  return begin + (bytes?.copy(target, begin) ?? 0);
}

async function compressed(records: Buffer, compression: Compression): Promise<Buffer> {
  if (compression === "lz4") return compressFrameSync(records);
  return compression === "gzip" ? gzipped(records) : records;
}

function decompressed(records: Buffer, codec: number, where: () => string): Buffer {
  if (codec === codecs.none) return records;
  if (codec === codecs.lz4) return decompressFrameSync(records);
  if (codec === codecs.gzip) return gunzipSync(records);
  throw new Error(`${where()} is compressed by codec ${codec}; Assay reads none, gzip (1) and lz4 (3)`);
}
