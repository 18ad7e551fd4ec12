/**
 * Golden records: for every version of every schema one record, written with that version: test/golden/<Name>.<version>.avro, and
 * what it says as .json. The current code must go on reading them. Written once, when a version is new, and never changed: a
 * record that stands in somebody's log doesn't change either.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Schema, Type, type types } from "avsc";

export interface GoldenVersion {
  readonly id: number;
  readonly name: string;
  readonly version: number;
}

export function writeMissingGolden(root: string, versions: readonly (GoldenVersion & { readonly schema: Schema })[]): void {
  const folder = join(root, "test/golden");
  mkdirSync(folder, { recursive: true });
  for (const version of versions) {
    const files = goldenFiles(root, version);
    if (existsSync(files.avro) && existsSync(files.json)) continue;
    const type = Type.forSchema(version.schema);
    const value = sample(type, version.name, { n: 0, booleans: 0, unions: 0 });
    const header = Buffer.alloc(5);
    header.writeUInt32BE(version.id, 1);
    writeFileSync(files.avro, Buffer.concat([header, type.toBuffer(value)]));
    writeFileSync(files.json, `${JSON.stringify(value, readableBytes, 2)}\n`);
  }
}

export function goldenFiles(root: string, version: GoldenVersion): { readonly avro: string; readonly json: string } {
  const stem = join(root, "test/golden", `${version.name}.${version.version}`);
  return { avro: `${stem}.avro`, json: `${stem}.json` };
}

/** For JSON.stringify: bytes as { bytes: hex }. It sees what Buffer's own toJSON left. */
export function readableBytes(_key: string, value: unknown): unknown {
  const bytes = value as { type?: unknown; data?: readonly number[] } | null;
  return bytes?.type === "Buffer" && Array.isArray(bytes.data) ? { bytes: Buffer.from(bytes.data).toString("hex") } : value;
}

/** A value that differs from field to field, so that mixing up two fields shows. n counts the values. */
function sample(type: Type, name: string, counter: { n: number; booleans: number; unions: number }): unknown {
  counter.n += 1;
  const { n } = counter;
  switch (type.typeName) {
    case "null":
      return null;
    case "boolean":
      return counter.booleans++ % 2 === 0;
    case "int":
      return 1000 + n;
    case "long":
      return 1_700_000_000_000 + n;
    case "float":
    case "double":
      return n + 0.5;
    case "string":
      return `${name} ${n} é`;
    case "bytes":
      return Buffer.from([0, 255, n % 256]);
    case "enum": {
      const { symbols } = type as types.EnumType;
      return symbols[n % symbols.length];
    }
    case "array": {
      const { itemsType } = type as types.ArrayType;
      return [sample(itemsType, name, counter), sample(itemsType, name, counter)];
    }
    case "map":
      return { [`${name} key ${n}`]: sample((type as types.MapType).valuesType, name, counter) };
    case "union:unwrapped": {
      const branches = (type as types.UnwrappedUnionType).types;
      // The last branch first: null is the first one, and says the least.
      return sample(branches[branches.length - 1 - (counter.unions++ % branches.length)] as Type, name, counter);
    }
    case "record":
      return Object.fromEntries((type as types.RecordType).fields.map((f) => [f.name, sample(f.type, f.name, counter)]));
    default:
      throw new Error(`no sample for the Avro type ${type.typeName}`);
  }
}
