/**
 * A part of a record, for a reader that needs no more: what it leaves out is skipped in decoding, not built.
 * Codec.decodePart reads by it, whatever version the writer had.
 */
import type { Schema } from "avsc";
import { schemaVersions } from "./generated/schemas";
import type { SchemaTypes } from "./generated/types";

type SchemaName = keyof SchemaTypes;

export interface Projection<N extends SchemaName, Part> {
  readonly name: N;
  readonly schema: Schema;
  /** Only carries the type. */
  readonly part?: Part;
}

/** What decoding by it gives. */
export type PartOf<P> = P extends Projection<SchemaName, infer Part> ? Part : never;

type Item<T> = T extends readonly (infer E)[] ? E : never;
/** Of each field to be kept: true for all of it, or of an array of records the fields to be kept of each. */
type Kept<T> = { readonly [K in keyof T]?: true | readonly (keyof Item<T[K]>)[] };
type KeptOf<T, K extends Kept<T>> = {
  readonly [F in keyof K & keyof T]: K[F] extends readonly (infer E)[] ? Pick<Item<T[F]>, E & keyof Item<T[F]>>[] : T[F];
};

/** Throws for a field that the schema hasn't. */
export function projection<N extends SchemaName, const K extends Kept<SchemaTypes[N]>>(
  name: N,
  kept: K,
): Projection<N, KeptOf<SchemaTypes[N], K>> {
  const current = schemaVersions.findLast((version) => version.name === name);
  if (!current) throw new Error(`no schema named ${name}`);
  const schema = structuredClone(current.schema) as unknown as RecordSchema;
  for (const [field, of] of Object.entries(kept) as [string, true | readonly string[]][]) {
    const type = keep(schema, [field])[0]?.type as ArraySchema | undefined;
    if (of !== true && type) type.items.fields = keep(type.items, of);
  }
  schema.fields = keep(schema, Object.keys(kept));
  return { name, schema: schema as unknown as Schema };
}

interface RecordSchema {
  name: string;
  fields: { name: string; type: unknown }[];
}
interface ArraySchema {
  items: RecordSchema;
}

function keep(schema: RecordSchema, names: readonly PropertyKey[]): RecordSchema["fields"] {
  for (const name of names) {
    if (!schema.fields.some((field) => field.name === name)) throw new Error(`${schema.name} has no field ${String(name)}`);
  }
  return schema.fields.filter((field) => names.includes(field.name));
}
