import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readingProblems } from "@assay/schemas/compatibility";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import { type Schema, Type } from "avsc";

const folder = join(__dirname, "../avro");
const sources = new Map(
  readdirSync(folder).map((file) => {
    const schema = JSON.parse(readFileSync(join(folder, file), "utf8")) as Schema & { readonly name: string };
    return [schema.name, schema] as const;
  }),
);

describe("the schemas as they stand (BACKWARD_TRANSITIVE)", () => {
  test.each(schemaVersions.map((v) => [`${v.name} version ${v.version}`, v] as const))("read records of %s", (_, version) => {
    const current = sources.get(version.name);
    if (!current) throw new Error(`there is no schemas/avro file for ${version.name}: its records can no longer be read`);
    expect(readingProblems(current, version.schema)).toEqual([]);
  });
});

describe("what stands in the way of reading older records is said with its place and a remedy", () => {
  const record = (...fields: readonly object[]) => ({ type: "record", name: "assay.R", fields }) as unknown as Schema;
  const field = (name: string, type: unknown, more: object = {}) => ({ name, type, ...more });
  const nested = (name: string, ...fields: readonly object[]) => ({ type: "record", name: `assay.${name}`, fields });
  const symbols = (name: string, list: readonly string[], more: object = {}) => ({
    type: "enum",
    name: `assay.${name}`,
    symbols: list,
    ...more,
  });

  test.each<readonly [string, Schema, Schema, readonly RegExp[]]>([
    ["the same", record(field("a", "int")), record(field("a", "int")), []],
    [
      "a new field with a default",
      record(field("a", "int"), field("b", "string", { default: "" })),
      record(field("a", "int")),
      [],
    ],
    [
      "a new field without one",
      record(field("a", "int"), field("b", "string")),
      record(field("a", "int")),
      [/^assay\.R\.b: .*default/],
    ],
    ["a field that is gone", record(field("a", "int")), record(field("a", "int"), field("b", "int")), []],
    ["a field renamed with an alias", record(field("b", "int", { aliases: ["a"] })), record(field("a", "int")), []],
    ["a field renamed without one", record(field("b", "int")), record(field("a", "int")), [/^assay\.R\.b: is new.*aliases/]],
    [
      "an alias of a field that still stands in old records",
      record(field("b", "int", { aliases: ["a"] })),
      record(field("a", "int"), field("b", "int")),
      [/^assay\.R\.b: b and a were both written/],
    ],
    ["a wider number", record(field("a", "long")), record(field("a", "int")), []],
    ["a narrower number", record(field("a", "int")), record(field("a", "long")), [/^assay\.R\.a: was written as long.* int/]],
    [
      "another type",
      record(field("a", "boolean")),
      record(field("a", "string")),
      [/^assay\.R\.a: was written as string.* boolean/],
    ],
    ["a value that may now be null", record(field("a", ["null", "int"])), record(field("a", "int")), []],
    [
      "a value that may no longer be null",
      record(field("a", "int")),
      record(field("a", ["null", "int"])),
      [/^assay\.R\.a: was written as null/],
    ],
    [
      "a union that lost a branch",
      record(field("a", ["null", "int"])),
      record(field("a", ["null", "string"])),
      [/^assay\.R\.a: was written as string, which is none of null, int/],
    ],
    ["an enum with a new symbol", record(field("a", symbols("E", ["x", "y"]))), record(field("a", symbols("E", ["x"]))), []],
    [
      "an enum that lost one",
      record(field("a", symbols("E", ["x"]))),
      record(field("a", symbols("E", ["x", "y", "z"]))),
      [/^assay\.R\.a: lacks the symbols y, z/],
    ],
    [
      "an enum that lost one and has a default",
      record(field("a", symbols("E", ["x"], { default: "x" }))),
      record(field("a", symbols("E", ["x", "y"]))),
      [],
    ],
    [
      "a record that is called otherwise",
      record(field("a", nested("N", field("x", "int")))),
      record(field("a", nested("M", field("x", "int")))),
      [/^assay\.R\.a: was written as assay\.M and is called assay\.N/],
    ],
    [
      "problems deep within, all of them",
      record(
        field("a", { type: "array", items: nested("N", field("x", "int"), field("y", "int")) }),
        field("b", { type: "map", values: "int" }),
      ),
      record(
        field("a", { type: "array", items: nested("N", field("x", "string")) }),
        field("b", { type: "map", values: "string" }),
      ),
      [/^assay\.R\.a\[\]\.x: was written as string/, /^assay\.R\.a\[\]\.y: is new/, /^assay\.R\.b\{\}: was written as string/],
    ],
    [
      "a record within itself",
      record(field("next", ["null", "assay.R"]), field("a", "int")),
      record(field("next", ["null", "assay.R"]), field("a", "string")),
      [/^assay\.R\.a/],
    ],
  ])("%s", (_, current, older, expected) => {
    const problems = readingProblems(current, older);
    expect(problems).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(problems[index]).toMatch(pattern);
    const resolve = () => Type.forSchema(current).createResolver(Type.forSchema(older));
    if (expected.length === 0) resolve();
    else expect(resolve).toThrow();
  });

  test("what avsc alone knows is said in its words", () => {
    const fixed = (size: number) => record(field("a", { type: "fixed", name: "assay.F", size }));
    expect(readingProblems(fixed(4), fixed(8))).toEqual([expect.stringContaining("assay.R: ")]);
  });
});
