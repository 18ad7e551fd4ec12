/**
 * Whether records of one schema are readable by another: what a registry checks as BACKWARD, found here without one, and said so that
 * whoever changed the schema knows which field to mend. Avro's resolution rules; avsc, which decodes, has the last word.
 */
import { type Schema, Type, type types } from "avsc";

/** What stands in the way of reading the writer's records; empty where nothing does. */
export function readingProblems(reader: Schema, writer: Schema): readonly string[] {
  const readerType = Type.forSchema(reader);
  const writerType = Type.forSchema(writer);
  const problems = [...compare(readerType, writerType, readerType.branchName ?? "", new Set())];
  if (problems.length > 0) return problems;
  try {
    readerType.createResolver(writerType);
    return [];
  } catch (error) {
    return [`${readerType.branchName}: ${(error as Error).message}`];
  }
}

function* compare(reader: Type, writer: Type, path: string, seen: Set<string>): Iterable<string> {
  if (isUnion(writer)) {
    for (const branch of writer.types) yield* compare(reader, branch, path, seen);
  } else if (isUnion(reader)) {
    if (!reader.types.some((branch) => [...compare(branch, writer, path, new Set(seen))].length === 0)) {
      yield `${path}: was written as ${nameOf(writer)}, which is none of ${reader.types.map(nameOf).join(", ")}; add it to the union`;
    }
  } else if (isRecord(reader) && isRecord(writer)) {
    yield* compareRecords(reader, writer, path, seen);
  } else if (isEnum(reader) && isEnum(writer)) {
    yield* compareEnums(reader, writer, path);
  } else if (isArray(reader) && isArray(writer)) {
    yield* compare(reader.itemsType, writer.itemsType, `${path}[]`, seen);
  } else if (isMap(reader) && isMap(writer)) {
    yield* compare(reader.valuesType, writer.valuesType, `${path}{}`, seen);
  } else if (reader.typeName !== writer.typeName && !promotions[writer.typeName]?.includes(reader.typeName)) {
    yield `${path}: was written as ${nameOf(writer)} and can't be read as ${nameOf(reader)}; keep the type, or add a field under another name`;
  }
}

function* compareRecords(reader: types.RecordType, writer: types.RecordType, path: string, seen: Set<string>): Iterable<string> {
  const pair = `${reader.name}:${writer.name}`;
  if (seen.has(pair)) return; // a record within itself, or one that stands in several places
  seen.add(pair);
  yield* compareNames(reader, writer, path);
  const written = new Map(writer.fields.map((field) => [field.name, field]));
  const read = new Set<string>();
  for (const field of reader.fields) {
    const fieldPath = `${path}.${field.name}`;
    const sources = [field.name, ...field.aliases].filter((name) => written.has(name));
    for (const name of sources) read.add(name);
    const source = written.get(sources[0] ?? "");
    if (sources.length > 1) {
      yield `${fieldPath}: ${sources.join(" and ")} were both written, and only one of them can be read as it; drop the alias`;
    } else if (source) {
      yield* compare(field.type, source.type, fieldPath, seen);
    } else if (field.defaultValue() === undefined) {
      yield `${fieldPath}: is new, and was not written; give it a default, or name the field that it was in its aliases`;
    }
  }
}

function* compareEnums(reader: types.EnumType, writer: types.EnumType, path: string): Iterable<string> {
  yield* compareNames(reader, writer, path);
  // Symbols that it lacks are read as its default, which avsc knows and its types don't.
  if ((reader as { readonly default?: string }).default !== undefined) return;
  const lost = writer.symbols.filter((symbol) => !reader.symbols.includes(symbol));
  if (lost.length > 0)
    yield `${path}: lacks the symbols ${lost.join(", ")} that were written; put them back, or give the enum a default`;
}

function* compareNames(reader: types.RecordType | types.EnumType, writer: types.RecordType | types.EnumType, path: string) {
  const known = [reader.name, ...(reader.aliases ?? [])];
  if (writer.name !== undefined && !known.includes(writer.name)) {
    yield `${path}: was written as ${writer.name} and is called ${reader.name} now; name the old one in its aliases`;
  }
}

/** Avro's promotions, by what was written. */
const promotions: Readonly<Record<string, readonly string[]>> = {
  int: ["long", "float", "double"],
  long: ["float", "double"],
  float: ["double"],
  string: ["bytes"],
  bytes: ["string"],
};

function nameOf(type: Type): string {
  return type.branchName ?? type.typeName;
}
function isUnion(type: Type): type is types.UnwrappedUnionType {
  return type.typeName.startsWith("union:");
}
function isRecord(type: Type): type is types.RecordType {
  return type.typeName === "record";
}
function isEnum(type: Type): type is types.EnumType {
  return type.typeName === "enum";
}
function isArray(type: Type): type is types.ArrayType {
  return type.typeName === "array";
}
function isMap(type: Type): type is types.MapType {
  return type.typeName === "map";
}
