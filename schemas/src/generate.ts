/**
 * `npm run generate`, schemas part: reads avro/*.avsc, freezes each changed schema as a new version under versions/ with an
 * id of its own, and writes the TypeScript types, the embedded schemas and a golden record of each new version. Refuses a change
 * that current code could not read old records with. Run from dist/, so the folder is found from this file.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Schema, Type } from "avsc";
import { readingProblems } from "./compatibility";
import { writeMissingGolden } from "./golden";

interface Version {
  readonly id: number;
  readonly name: string;
  readonly version: number;
}
interface Named {
  readonly type: string;
  readonly name: string;
  readonly doc?: string;
  readonly fields?: readonly { name: string; type: unknown; doc?: string }[];
  readonly symbols?: readonly string[];
}

const banner = "// Generated from schemas/avro by `npm run generate`. Don't edit.\n\n";

function main(root: string): void {
  const sources = readdirSync(join(root, "avro"))
    .filter((f) => f.endsWith(".avsc"))
    .sort();
  const schemas = sources.map((f) => JSON.parse(readFileSync(join(root, "avro", f), "utf8")) as Named);
  const versions = freeze(root, schemas);
  mkdirSync(join(root, "src/generated"), { recursive: true });
  writeFileSync(join(root, "src/generated/types.ts"), typesSource(schemas));
  writeFileSync(join(root, "src/generated/schemas.ts"), schemasSource(root, versions));
  writeMissingGolden(
    root,
    versions.map((version) => ({ ...version, schema: readFrozen(root, version) })),
  );
}

/** Appends a version for each schema whose canonical form changed; returns all versions, oldest first. */
function freeze(root: string, schemas: readonly Named[]): Version[] {
  const indexFile = join(root, "versions/ids.json");
  const versions: Version[] = existsSync(indexFile) ? (JSON.parse(readFileSync(indexFile, "utf8")) as Version[]) : [];
  for (const schema of schemas) {
    const current = Type.forSchema(schema as Schema);
    const earlier = versions.filter((v) => v.name === schema.name);
    refuseUnreadable(schema.name, earlier, (version) => readingProblems(schema as Schema, readFrozen(root, version)));
    const latest = earlier.at(-1);
    if (latest && canonical(readFrozen(root, latest)) === canonical(schema as Schema)) continue;
    const next = { id: versions.length + 1, name: schema.name, version: (latest?.version ?? 0) + 1 };
    mkdirSync(join(root, "versions", next.name), { recursive: true });
    writeFileSync(frozenFile(root, next), `${JSON.stringify(current.schema({ exportAttrs: true }), null, 2)}\n`);
    versions.push(next);
  }
  writeFileSync(indexFile, `[\n${versions.map((v) => `  ${JSON.stringify(v)}`).join(",\n")}\n]\n`);
  return versions;
}

/** A log and a registry hold records of every version: the current schema must read each (BACKWARD_TRANSITIVE). */
function refuseUnreadable(name: string, earlier: readonly Version[], problemsOf: (version: Version) => readonly string[]): void {
  const problems = earlier.flatMap((version) => problemsOf(version).map((p) => `  records of version ${version.version}: ${p}`));
  if (problems.length === 0) return;
  throw new Error(`${name} as it stands in schemas/avro can't read what was written with it before:\n${problems.join("\n")}`);
}

function frozenFile(root: string, version: Version): string {
  return join(root, "versions", version.name, `${version.version}.avsc`);
}

function readFrozen(root: string, version: Version): Schema {
  return JSON.parse(readFileSync(frozenFile(root, version), "utf8")) as Schema;
}

/** Two schemas with the same canonical form read and write the same bytes, defaults included; docs may differ. */
function canonical(schema: Schema): string {
  const whole = JSON.stringify(Type.forSchema(schema).schema({ exportAttrs: true }));
  return JSON.stringify(JSON.parse(whole, (_, value: unknown) => (isObject(value) ? { ...value, doc: undefined } : value)));
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typesSource(schemas: readonly Named[]): string {
  const emitted = new Map<string, string>();
  for (const schema of schemas) emitNamed(schema, emitted);
  const names = schemas.map((s) => `  readonly ${s.name}: ${s.name};`).join("\n");
  return `${banner}${[...emitted.values()].join("\n\n")}\n\n/** Every record that stands on a topic, by its schema's name. */\nexport interface SchemaTypes {\n${names}\n}\n`;
}

function emitNamed(schema: Named, emitted: Map<string, string>): void {
  const doc = schema.doc ? `/** ${schema.doc} */\n` : "";
  let text: string;
  if (schema.type === "enum") {
    text = `${doc}export type ${schema.name} = ${(schema.symbols ?? []).map((s) => `"${s}"`).join(" | ")};`;
  } else {
    const fields = (schema.fields ?? []).map((field) => {
      const fieldDoc = field.doc ? `  /** ${field.doc} */\n` : "";
      return `${fieldDoc}  ${field.name}: ${tsType(field.type, emitted)};`;
    });
    text = `${doc}export interface ${schema.name} {\n${fields.join("\n")}\n}`;
  }
  const body = text.replace(/\/\*\*.*?\*\/\n\s*/g, "");
  const before = emitted.get(schema.name)?.replace(/\/\*\*.*?\*\/\n\s*/g, "");
  if (before !== undefined && before !== body) throw new Error(`two schemas define ${schema.name} differently`);
  if (before === undefined) emitted.set(schema.name, text);
}

function tsType(type: unknown, emitted: Map<string, string>): string {
  if (Array.isArray(type)) return type.map((t) => tsType(t, emitted)).join(" | ");
  if (typeof type === "string") return primitives[type] ?? type;
  const complex = type as Named & { items?: unknown; values?: unknown };
  if (complex.type === "array") {
    const item = tsType(complex.items, emitted);
    return item.includes("|") ? `(${item})[]` : `${item}[]`;
  }
  if (complex.type === "map") return `Record<string, ${tsType(complex.values, emitted)}>`;
  emitNamed(complex, emitted);
  return complex.name;
}

const primitives: Record<string, string> = {
  string: "string",
  long: "number",
  int: "number",
  boolean: "boolean",
  bytes: "Buffer",
  double: "number",
  null: "null",
};

function schemasSource(root: string, versions: readonly Version[]): string {
  const rows = versions.map(
    (v) => `  { id: ${v.id}, name: "${v.name}", version: ${v.version}, schema: ${JSON.stringify(readFrozen(root, v))} },`,
  );
  return `${banner}import type { Schema } from "avsc";
import type { SchemaTypes } from "./types";

export interface SchemaVersion {
  readonly id: number;
  readonly name: keyof SchemaTypes;
  readonly version: number;
  readonly schema: Schema;
}

/** Every version of every schema, oldest first. */
export const schemaVersions: readonly SchemaVersion[] = [
${rows.join("\n")}
];
`;
}

main(join(__dirname, ".."));
