/**
 * Bounds of an Avro body, before it is decoded: a walk over its bytes that builds nothing. avsc believes a count that a body
 * claims, and makes an array of it; here every count and length must fit the bytes that remain and the limits, the sizes that
 * blocks claim must be true (a reader that projects jumps by them), and nothing may follow the record.
 *
 * The walk is compiled once per writer's schema into closures; it costs less than the decoding that it guards.
 */
import { type Schema, Type, type types } from "avsc";

export interface BoundsLimits {
  readonly text_bytes: Limit;
  readonly binary_bytes: Limit;
  /** Of one array or map that is a field of the record itself. */
  readonly elements: Limit;
  /** Of one array or map inside another. */
  readonly nested_elements: Limit;
  /** Of all arrays and maps of the body. */
  readonly elements_total: Limit;
}
export interface Limit {
  readonly max: number;
  /** What changes it, or the constant that it is: told in the message. */
  readonly name: string;
}

export type BoundsVerdict = { readonly within: true } | OutOfBounds;
export interface OutOfBounds {
  readonly within: false;
  /** malformed_body: these aren't bytes of the schema. out_of_bounds: they may be, past a limit. */
  readonly reason: "malformed_body" | "out_of_bounds";
  /** What, the value, the limit. */
  readonly detail: string;
}

/** The check for bodies written with this schema (without the wire header). It never throws and ends after one pass. */
export function compileBounds(schema: Schema, limits: BoundsLimits): (body: Uint8Array) => BoundsVerdict {
  const walk = compile(Type.forSchema(schema), limits, new Map());
  return (body) => {
    const cursor = new Cursor(body);
    if (!walk(cursor)) return cursor.verdict();
    if (cursor.at === body.length) return within;
    cursor.fail("malformed_body", `${body.length - cursor.at} bytes follow the record`);
    return cursor.verdict();
  };
}

const within = { within: true } as const;

/** Moves the cursor past one value; false once it failed. */
type Walk = (cursor: Cursor) => boolean;

/** A schema that names itself could nest as deep as the stack. */
const depth_max = 64;
const number_min = -(2 ** 52);
/** A long of 64 bits takes at most this many bytes. */
const varint_bytes_max = 10;

class Cursor {
  at = 0;
  /** Arrays and maps around the place. */
  nesting = 0;
  depth = 0;
  elements = 0;
  /** The last number read by `long`. */
  number = 0;
  /** Where it failed, innermost first. */
  readonly path: string[] = [];
  private failure: Omit<OutOfBounds, "within"> | undefined;

  constructor(readonly bytes: Uint8Array) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  fail(reason: OutOfBounds["reason"], detail: string): false {
    this.failure = { reason, detail };
    return false;
  }

  over(what: string, limit: Limit): false {
    return this.fail("out_of_bounds", `${what} above the limit of ${limit.max} (${limit.name})`);
  }

  verdict(): OutOfBounds {
    const { reason, detail } = this.failure ?? { reason: "malformed_body", detail: "unreadable" };
    const place = this.path.length === 0 ? "" : `${this.path.reverse().join(".")}: `;
    return { within: false, reason, detail: place + detail };
  }

  skip(length: number): boolean {
    if (length > this.left)
      return this.fail("malformed_body", `ends ${length - this.left} bytes short, at byte ${this.bytes.length}`);
    this.at += length;
    return true;
  }

  /** Zigzag varint into `number`. Refused from 2^53 on, and below -2^52, where avsc reads a wrong number without a word. */
  long(): boolean {
    const { bytes } = this;
    const start = this.at;
    let byte = bytes[start];
    if (byte === undefined) return this.cut();
    if (byte < 0x80) {
      this.at = start + 1;
      this.number = (byte >>> 1) ^ -(byte & 1);
      return true;
    }
    // The first four bytes hold 28 bits, which fit a bitwise number; the others are multiplied.
    let low = byte & 0x7f;
    let high = 0;
    let scale = 1;
    for (let i = 1; i < varint_bytes_max; i++) {
      byte = bytes[start + i];
      if (byte === undefined) return this.cut();
      if (i < 4) low |= (byte & 0x7f) << (7 * i);
      else {
        high += (byte & 0x7f) * scale;
        scale *= 128;
      }
      if (byte < 0x80) {
        this.at = start + i + 1;
        const magnitude = high * 2 ** 27 + (low >>> 1);
        this.number = low & 1 ? -magnitude - 1 : magnitude;
        if (this.number < number_min) return this.fail("out_of_bounds", "a number is below -2^52");
        return magnitude < Number.MAX_SAFE_INTEGER || this.fail("out_of_bounds", "a number is not below 2^53");
      }
    }
    return this.fail("malformed_body", `a number has more than ${varint_bytes_max} bytes`);
  }

  private cut(): false {
    return this.fail("malformed_body", `ends inside a number, at byte ${this.bytes.length}`);
  }

  length(what: string, limit: Limit): boolean {
    if (!this.long()) return false;
    if (this.number < 0) return this.fail("malformed_body", `${what} claims ${this.number} bytes`);
    if (this.number > this.left) return this.fail("malformed_body", `${what} claims ${this.number} bytes, ${this.left} are left`);
    if (this.number > limit.max) return this.over(`${what} of ${this.number} bytes is`, limit);
    this.at += this.number;
    return true;
  }
}

function compile(type: Type, limits: BoundsLimits, known: Map<Type, Walk>): Walk {
  const compiled = known.get(type);
  if (compiled) return compiled;
  // A schema that names itself finds this one, which the walk replaces once it is made.
  let walk: Walk = () => false;
  known.set(type, (cursor) => walk(cursor));
  walk = compileNew(type, limits, known);
  known.set(type, walk);
  return walk;
}

function compileNew(type: Type, limits: BoundsLimits, known: Map<Type, Walk>): Walk {
  switch (type.typeName) {
    case "null":
      return () => true;
    case "boolean":
      return (c) =>
        c.left > 0 && (c.bytes[c.at] ?? 0) > 1 ? c.fail("malformed_body", `byte ${c.bytes[c.at]} is no boolean`) : c.skip(1);
    case "int":
      return (c) => c.long() && ((c.number | 0) === c.number || c.fail("malformed_body", `${c.number} is no 32-bit number`));
    case "long":
      return (c) => c.long();
    case "float":
      return (c) => c.skip(4);
    case "double":
      return (c) => c.skip(8);
    case "string":
      return (c) => c.length("text", limits.text_bytes);
    case "bytes":
      return (c) => c.length("bytes", limits.binary_bytes);
    case "fixed": {
      const { size } = type as types.FixedType;
      return (c) => c.skip(size);
    }
    case "enum": {
      const count = (type as types.EnumType).symbols.length;
      return (c) =>
        c.long() && ((c.number >= 0 && c.number < count) || c.fail("malformed_body", `${c.number} is none of ${count} symbols`));
    }
    case "array": {
      const { itemsType } = type as types.ArrayType;
      return blocks(compile(itemsType, limits, known), minBytes(itemsType), limits);
    }
    case "map": {
      const { valuesType } = type as types.MapType;
      const key: Walk = (c) => c.length("key", limits.text_bytes);
      const value = compile(valuesType, limits, known);
      return blocks((c) => key(c) && value(c), 1 + minBytes(valuesType), limits);
    }
    case "union:unwrapped":
    case "union:wrapped": {
      const branches = (type as types.UnwrappedUnionType).types.map((branch) => compile(branch, limits, known));
      return (c) => {
        if (!c.long()) return false;
        const branch = branches[c.number];
        return branch ? branch(c) : c.fail("malformed_body", `${c.number} is none of ${branches.length} branches`);
      };
    }
    case "record":
      return record(type as types.RecordType, limits, known);
    default:
      throw new Error(`no bounds for the Avro type ${type.typeName}`);
  }
}

function record(type: types.RecordType, limits: BoundsLimits, known: Map<Type, Walk>): Walk {
  const fields = type.fields.map((field) => ({ name: field.name, walk: compile(field.type, limits, known) }));
  return (c) => {
    if (++c.depth > depth_max) return c.fail("out_of_bounds", `nested deeper than the limit of ${depth_max}`);
    for (const field of fields) {
      if (field.walk(c)) continue;
      c.path.push(field.name);
      return false;
    }
    c.depth--;
    return true;
  };
}

/** An array's or map's blocks: a count (negative: then the block's size in bytes follows) and its items, until a count of 0. */
function blocks(item: Walk, item_bytes_min: number, limits: BoundsLimits): Walk {
  return (c) => {
    const limit = c.nesting === 0 ? limits.elements : limits.nested_elements;
    let elements = 0;
    c.nesting++;
    for (;;) {
      if (!c.long()) return false;
      if (c.number === 0) break;
      const sized = c.number < 0;
      const count = Math.abs(c.number);
      if (sized && !c.long()) return false;
      const end = sized ? c.at + c.number : undefined;
      elements += count;
      c.elements += count;
      if (count * item_bytes_min > c.left) return c.fail("malformed_body", `claims ${count} elements, ${c.left} bytes are left`);
      if (elements > limit.max) return c.over(`${elements} elements are`, limit);
      if (c.elements > limits.elements_total.max) return c.over(`${c.elements} elements in all are`, limits.elements_total);
      for (let i = 0; i < count; i++) {
        if (item(c)) continue;
        c.path.push(`[${elements - count + i}]`);
        return false;
      }
      if (end !== undefined && c.at !== end)
        return c.fail("malformed_body", `a block ends ${c.at - end} bytes from where it says`);
    }
    c.nesting--;
    return true;
  };
}

/** The fewest bytes that a value takes. A union counts as its branch's number alone, which also ends schemas that name themselves. */
function minBytes(type: Type): number {
  switch (type.typeName) {
    case "null":
      return 0;
    case "float":
      return 4;
    case "double":
      return 8;
    case "fixed":
      return (type as types.FixedType).size;
    case "record":
      return (type as types.RecordType).fields.reduce((sum, field) => sum + minBytes(field.type), 0);
    default:
      return 1;
  }
}
