/** Reading and writing of Kafka's protocol: big-endian numbers, strings with their length, varints in zigzag. */

export class WireReader {
  constructor(
    private readonly bytes: Buffer,
    private at = 0,
  ) {}

  get position(): number {
    return this.at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  int8(): number {
    return this.bytes.readInt8(this.advance(1));
  }

  int16(): number {
    return this.bytes.readInt16BE(this.advance(2));
  }

  int32(): number {
    return this.bytes.readInt32BE(this.advance(4));
  }

  /** Offsets and times stay far below 2^53. */
  int64(): number {
    const at = this.advance(8);
    return this.bytes.readInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
  }

  string(): string | null {
    const length = this.int16();
    return length < 0 ? null : this.slice(length).toString("utf8");
  }

  /** Length in 32 bits; empty for null. */
  bytes32(): Buffer {
    return this.slice(Math.max(0, this.int32()));
  }

  array<T>(item: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, item);
  }

  varint(): number {
    let shifted = 1;
    let zigzag = 0;
    for (;;) {
      const byte = this.bytes.readUInt8(this.advance(1));
      zigzag += (byte & 0x7f) * shifted;
      if (byte < 0x80) break;
      shifted *= 0x80;
    }
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  }

  /** Length as a varint; null for a negative one. */
  varBytes(): Buffer | null {
    const length = this.varint();
    return length < 0 ? null : this.slice(length);
  }

  slice(length: number): Buffer {
    const at = this.advance(length);
    return this.bytes.subarray(at, at + length);
  }

  private advance(by: number): number {
    const at = this.at;
    if (at + by > this.bytes.length) throw new RangeError(`${by} bytes at ${at} of ${this.bytes.length}`);
    this.at += by;
    return at;
  }
}

/** Into pieces that are put together once, at the end. */
export class WireWriter {
  private readonly pieces: Buffer[] = [];

  int16(value: number): this {
    const piece = Buffer.allocUnsafe(2);
    piece.writeInt16BE(value);
    return this.raw(piece);
  }

  int32(value: number): this {
    const piece = Buffer.allocUnsafe(4);
    piece.writeInt32BE(value);
    return this.raw(piece);
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const text = Buffer.from(value, "utf8");
    return this.int16(text.length).raw(text);
  }

  array<T>(items: readonly T[], write: (item: T) => void): this {
    this.int32(items.length);
    for (const item of items) write(item);
    return this;
  }

  raw(piece: Buffer): this {
    this.pieces.push(piece);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

export function varintBytes(value: number): number {
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1;
  let bytes = 1;
  while (zigzag >= 0x80) {
    zigzag = Math.floor(zigzag / 0x80);
    bytes++;
  }
  return bytes;
}

/** Returns the position after it. */
export function writeVarint(target: Buffer, position: number, value: number): number {
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1;
  let at = position;
  while (zigzag >= 0x80) {
    target[at++] = (zigzag % 0x80) | 0x80;
    zigzag = Math.floor(zigzag / 0x80);
  }
  target[at++] = zigzag;
  return at;
}
