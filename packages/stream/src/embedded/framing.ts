/**
 * How records and their places are laid out in bytes.
 *
 * key:   topic id (2 bytes), partition (2), offset (8), big endian, so that a partition's records lie in order
 * value: timestamp (8, a double), length of the key (2, 0xffff for none), 1 when there is a value (1), key, value
 */
import type { LogRecord } from "../log";

export const record_key_bytes_max = 1_024;
export const record_bytes_max = 1_048_576;
export const frame_header_bytes = 11;
const no_key = 0xffff;

export function recordPlace(topic_id: number, partition: number, offset: number): Buffer {
  const place = Buffer.allocUnsafe(12);
  place.writeUInt16BE(topic_id, 0);
  place.writeUInt16BE(partition, 2);
  place.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), 4);
  place.writeUInt32BE(offset % 0x1_0000_0000, 8);
  return place;
}

export function offsetOfPlace(place: Uint8Array): number {
  let offset = 0;
  for (let at = 4; at < 12; at++) offset = offset * 256 + (place[at] ?? 0);
  return offset;
}

export function partitionPlace(topic_id: number, partition: number): Buffer {
  return recordPlace(topic_id, partition, 0).subarray(0, 4);
}

/** The place of a compacted topic's key in the index of keys. */
export function keyPlace(topic_id: number, partition: number, key: Buffer): Buffer {
  return Buffer.concat([partitionPlace(topic_id, partition), key]);
}

export interface Frame {
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export function frameBytes(frame: Frame): number {
  return frame_header_bytes + (frame.key?.length ?? 0) + (frame.value?.length ?? 0);
}

/** Writes the frame at the position and returns its end. */
export function writeFrame(target: Buffer, position: number, frame: Frame): number {
  target.writeDoubleBE(frame.timestamp, position);
  target.writeUInt16BE(frame.key?.length ?? no_key, position + 8);
  target[position + 10] = frame.value === null ? 0 : 1;
  let end = position + frame_header_bytes;
  if (frame.key) end += frame.key.copy(target, end);
  if (frame.value) end += frame.value.copy(target, end);
  return end;
}

export function readFrame(topic: string, partition: number, offset: number, bytes: Buffer): LogRecord {
  const key_length = bytes.readUInt16BE(8);
  const value_at = frame_header_bytes + (key_length === no_key ? 0 : key_length);
  return {
    topic,
    partition,
    offset,
    key: key_length === no_key ? null : bytes.subarray(frame_header_bytes, value_at),
    value: bytes[10] === 0 ? null : bytes.subarray(value_at),
    timestamp: bytes.readDoubleBE(0),
  };
}

/** What a frame takes in the file, at most: small ones share pages, which may be half full; larger ones have pages of their own. */
export function storedBytes(frame_bytes: number): number {
  const page_bytes = 4_096;
  const shared_bytes_max = 2_000;
  const entry_bytes = 80;
  if (frame_bytes <= shared_bytes_max) return 2 * frame_bytes + entry_bytes;
  return Math.ceil((frame_bytes + 16) / page_bytes) * page_bytes + entry_bytes;
}

/** Two numbers in 16 bytes: a partition's [start, end), or a key's (offset, stored bytes). */
export function pair(first: number, second: number): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeDoubleBE(first, 0);
  bytes.writeDoubleBE(second, 8);
  return bytes;
}

export function readPair(bytes: Buffer | undefined): readonly [number, number] | undefined {
  if (!bytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [view.getFloat64(0), view.getFloat64(8)];
}
