/** CRC-32C (Castagnoli), which guards Kafka's record batches. Eight bytes a step, by tables made at the first call. */

export function crc32c(bytes: Buffer): number {
  tables ??= makeTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = -1;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = crc ^ bytes.readInt32LE(at);
    const high = bytes.readInt32LE(at + 4);
    crc =
      entry(t7, low) ^
      entry(t6, low >>> 8) ^
      entry(t5, low >>> 16) ^
      entry(t4, low >>> 24) ^
      entry(t3, high) ^
      entry(t2, high >>> 8) ^
      entry(t1, high >>> 16) ^
      entry(t0, high >>> 24);
  }
  for (; at < bytes.length; at++) crc = entry(t0, crc ^ bytes.readUInt8(at)) ^ (crc >>> 8);
  return ~crc >>> 0;
}

type Tables = readonly [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
let tables: Tables | undefined;
const polynomial = 0x82f63b78;

function entry(table: Int32Array, index: number): number {
  return table[index & 0xff] ?? 0;
}

function makeTables(): Tables {
  const made: Tables = [table(), table(), table(), table(), table(), table(), table(), table()];
  const [first] = made;
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    first[byte] = crc;
  }
  for (let step = 1; step < made.length; step++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = made[step - 1]?.[byte] ?? 0;
      (made[step] as Int32Array)[byte] = entry(first, before) ^ (before >>> 8);
    }
  }
  return made;
}

function table(): Int32Array {
  return new Int32Array(256);
}
