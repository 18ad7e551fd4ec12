/**
 * Confluent wire format over Avro: a zero byte, a four-byte schema id, the body. Decoding is synchronous, with one resolver per
 * writer id, made once; which ids there are is told by a SchemaIds (this folder's, or a schema registry's).
 */
import { type Resolver, type Schema, Type } from "avsc";
import { type SchemaVersion, schemaVersions } from "./generated/schemas";
import type { SchemaTypes } from "./generated/types";
import type { Projection } from "./projection";

export type SchemaName = keyof SchemaTypes;

/** Which id stands for which schema. Both calls are synchronous: a registry's ids are fetched beforehand. */
export interface SchemaIds {
  /** The id under which current records of this schema are written. */
  currentId(name: SchemaName): number;
  /** The writer's schema of an id; undefined for an id that isn't known. */
  writer(id: number): { readonly name: SchemaName; readonly schema: Schema } | undefined;
  /** Where writer says undefined of an id that is known all the same: why its records can't be used. */
  refusal?(id: number): string | undefined;
}

export type Decoded =
  | { readonly [N in SchemaName]: { readonly name: N; readonly value: SchemaTypes[N] } }[SchemaName]
  | Undecodable;
export interface Undecodable {
  readonly name: "undecodable";
  readonly reason: "not_wire_format" | "unknown_schema" | "incompatible_schema" | "malformed_body";
  readonly detail: string;
}

export const wireHeaderBytes = 5;

export class Codec {
  private readonly types = new Map<SchemaName, Type>();
  private readonly writers = new Map<number, Writer>();
  private readonly partReaders = new WeakMap<Projection<SchemaName, unknown>, Map<number, PartReader>>();

  constructor(private readonly ids: SchemaIds) {
    for (const version of schemaVersions) this.types.set(version.name, Type.forSchema(version.schema));
  }

  /** Encodes with the wire header. Throws when the value doesn't fit the schema: that is a bug of the caller's. */
  encode<N extends SchemaName>(name: N, value: SchemaTypes[N]): Buffer {
    const type = this.type(name);
    for (let size = 1024; ; ) {
      const buffer = Buffer.allocUnsafe(size);
      buffer[0] = 0;
      buffer.writeUInt32BE(this.ids.currentId(name), 1);
      const end = type.encode(value, buffer, wireHeaderBytes);
      if (end >= 0) return buffer.subarray(0, end);
      size = size - end; // avsc tells by how much the buffer was too small
    }
  }

  /** The same bytes under the id that this codec writes with: how ingest passes an agent's batch on without encoding it again. */
  withCurrentId(name: SchemaName, wire: Buffer): Buffer {
    const copy = Buffer.from(wire);
    copy.writeUInt32BE(this.ids.currentId(name), 1);
    return copy;
  }

  decode(wire: Buffer): Decoded {
    if (wire.length < wireHeaderBytes || wire[0] !== 0) {
      return undecodable("not_wire_format", `${wire.length} bytes that don't begin with the wire format's zero byte and id`);
    }
    const id = wire.readUInt32BE(1);
    const writer = this.writer(id);
    if (!writer) {
      const refusal = this.ids.refusal?.(id);
      if (refusal !== undefined) return undecodable("incompatible_schema", `schema id ${id}: ${refusal}`);
      return undecodable("unknown_schema", `schema id ${id}`);
    }
    if ("refusal" in writer) return undecodable("incompatible_schema", `schema id ${id}: ${writer.refusal}`);
    try {
      const value: unknown = this.type(writer.name).fromBuffer(wire.subarray(wireHeaderBytes), writer.resolver);
      return { name: writer.name, value } as Decoded;
    } catch (error) {
      return undecodable("malformed_body", `${writer.name}: ${(error as Error).message}`);
    }
  }

  /** Like decode, but of a record of the projection's name only the projection's fields. */
  decodePart<N extends SchemaName, Part>(
    projection: Projection<N, Part>,
    wire: Buffer,
  ): Exclude<Decoded, { readonly name: N }> | { readonly name: N; readonly value: Part } {
    const reader = wire.length > wireHeaderBytes && wire[0] === 0 ? this.partReader(projection, wire.readUInt32BE(1)) : undefined;
    if (!reader) return this.decode(wire) as Exclude<Decoded, { readonly name: N }>;
    try {
      const value = reader.type.fromBuffer(wire.subarray(wireHeaderBytes), reader.resolver) as Part;
      return { name: projection.name, value };
    } catch (error) {
      const undecoded = undecodable("malformed_body", `${projection.name}: ${(error as Error).message}`);
      return undecoded as unknown as Exclude<Decoded, { readonly name: N }>;
    }
  }

  /** Undefined where the writer's record isn't of the projection's name, or can't be read at all: decode tells it then. */
  private partReader(projection: Projection<SchemaName, unknown>, id: number): PartReader | undefined {
    const readers = this.partReaders.get(projection) ?? new Map<number, PartReader>();
    this.partReaders.set(projection, readers);
    const known = readers.get(id);
    if (known) return known;
    const writer = this.writer(id);
    const found = this.ids.writer(id);
    if (!found || !writer || "refusal" in writer || writer.name !== projection.name) return undefined;
    const type = Type.forSchema(projection.schema);
    const reader = { type, resolver: type.createResolver(Type.forSchema(found.schema)) };
    readers.set(id, reader);
    return reader;
  }

  private type(name: SchemaName): Type {
    const type = this.types.get(name);
    if (!type) throw new Error(`no schema named ${name}`);
    return type;
  }

  private writer(id: number): Writer | undefined {
    const known = this.writers.get(id);
    if (known) return known;
    const found = this.ids.writer(id);
    if (!found) return undefined;
    const writer = this.resolve(found.name, found.schema);
    this.writers.set(id, writer);
    return writer;
  }

  private resolve(name: SchemaName, schema: Schema): Writer {
    const readerType = this.type(name);
    try {
      const writerType = Type.forSchema(schema);
      const same = JSON.stringify(writerType.schema()) === JSON.stringify(readerType.schema());
      return { name, resolver: same ? undefined : readerType.createResolver(writerType) };
    } catch (error) {
      // A registry holds what others put there: their records are not readable, and ours must go on.
      return { refusal: `this version of Assay can't read that ${name}: ${(error as Error).message}` };
    }
  }
}

/** How records of one writer's schema are read; resolver is undefined where the writer's schema is the reader's. */
type Writer = { readonly name: SchemaName; readonly resolver: Resolver | undefined } | { readonly refusal: string };

/** The ids that this folder gives: schemas/versions/ids.json. */
export function folderIds(versions: readonly SchemaVersion[] = schemaVersions): SchemaIds {
  const current = new Map(versions.map((v) => [v.name, v.id]));
  const byId = new Map(versions.map((v) => [v.id, v]));
  return {
    currentId(name) {
      const id = current.get(name);
      if (id === undefined) throw new Error(`no schema named ${name}`);
      return id;
    },
    writer: (id) => byId.get(id),
  };
}

interface PartReader {
  readonly type: Type;
  readonly resolver: Resolver;
}

function undecodable(reason: Undecodable["reason"], detail: string): Undecodable {
  return { name: "undecodable", reason, detail };
}
