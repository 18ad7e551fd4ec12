import { type BoundsLimits, compileBounds } from "@assay/schemas/bounds";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import { type Schema, Type } from "avsc";
import fc from "fast-check";
import { arbitraryOf } from "./arbitrary-record";

const limits: BoundsLimits = {
  text_bytes: { max: 1024, name: "TEXT" },
  binary_bytes: { max: 4096, name: "BINARY" },
  elements: { max: 100, name: "ELEMENTS" },
  nested_elements: { max: 10, name: "NESTED" },
  elements_total: { max: 1000, name: "TOTAL" },
};
const within = { within: true };

/** One field of this type, named x. */
const one = (type: unknown) => ({ type: "record", name: "One", fields: [{ name: "x", type }] }) as Schema;
const check = (type: unknown, bytes: readonly number[] | Uint8Array) => compileBounds(one(type), limits)(Uint8Array.from(bytes));
const varint = (value: number) => [...Type.forSchema("long").toBuffer(value)];
const strings = { type: "array", items: "string" };

describe("compileBounds", () => {
  test.each(schemaVersions.map((v) => [v.name, v] as const))(
    "passes any %s, refuses it cut or longer, and never throws",
    (_, version) => {
      const type = Type.forSchema(version.schema);
      const bounds = compileBounds(version.schema, limits);
      fc.assert(
        fc.property(arbitraryOf(version.schema), fc.nat(), (value, cut) => {
          const body = type.toBuffer(value);
          expect(bounds(body)).toEqual(within);
          expect(bounds(Buffer.concat([body, Buffer.from([0])]))).toMatchObject({ within: false, reason: "malformed_body" });
          if (body.length > 0) expect(bounds(body.subarray(0, cut % body.length)).within).toBe(false);
        }),
        { numRuns: 30 },
      );
    },
  );

  test("what passes can be decoded, however a record was corrupted", () => {
    const version = schemaVersions.find((v) => v.name === "TelemetryBatch");
    if (!version) throw new Error("no TelemetryBatch");
    const type = Type.forSchema(version.schema);
    const bounds = compileBounds(version.schema, limits);
    let passed = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        arbitraryOf(version.schema),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        (value, changes) => {
          const body = type.toBuffer(value);
          for (const [at, byte] of changes) body[at % body.length] = byte;
          if (bounds(body).within) {
            passed += 1;
            type.fromBuffer(body);
          } else refused += 1;
        },
      ),
      { numRuns: 500 },
    );
    expect(Math.min(passed, refused)).toBeGreaterThan(10);
  });

  test("random bytes end in a verdict", () => {
    for (const version of schemaVersions) {
      const bounds = compileBounds(version.schema, limits);
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof bounds(bytes).within === "boolean"),
        { numRuns: 100 },
      );
    }
  });

  test.each([
    [
      "a count past the bytes that remain",
      strings,
      [...varint(50), 0, 0],
      "malformed_body",
      "x: claims 50 elements, 2 bytes are left",
    ],
    ["a huge count", strings, [...varint(2 ** 40), 0], "malformed_body", `x: claims ${2 ** 40} elements, 1 bytes are left`],
    [
      "a huge count of elements without bytes",
      { type: "array", items: "null" },
      [...varint(2 ** 40), 0],
      "out_of_bounds",
      `x: ${2 ** 40} elements are above the limit of 100 (ELEMENTS)`,
    ],
    [
      "many small blocks",
      strings,
      [...Array(101).fill([2, 0]).flat(), 0],
      "out_of_bounds",
      "x: 101 elements are above the limit of 100 (ELEMENTS)",
    ],
    [
      "many elements inside an element",
      { type: "array", items: strings },
      [2, ...varint(11), ...Array(11).fill(0), 0, 0],
      "out_of_bounds",
      "x.[0]: 11 elements are above the limit of 10 (NESTED)",
    ],
    [
      "a block that lies about its size",
      strings,
      [1, ...varint(5), 0, 0],
      "malformed_body",
      "x: a block ends -4 bytes from where it says",
    ],
    ["a length past the end", "string", [...varint(9), 65], "malformed_body", "x: text claims 9 bytes, 1 are left"],
    ["a negative length", "bytes", varint(-3), "malformed_body", "x: bytes claims -3 bytes"],
    [
      "a long text",
      "string",
      [...varint(1025), ...Array(1025).fill(65)],
      "out_of_bounds",
      "x: text of 1025 bytes is above the limit of 1024 (TEXT)",
    ],
    ["a number without end", "long", Array(11).fill(255), "malformed_body", "x: a number has more than 10 bytes"],
    ["a number of 64 bits", "long", [254, ...Array(8).fill(255), 1], "out_of_bounds", "x: a number is not below 2^53"],
    ["a negative number of 64 bits", "long", [...Array(9).fill(255), 1], "out_of_bounds", "x: a number is below -2^52"],
    ["a number past 32 bits", "int", varint(2 ** 31), "malformed_body", "x: 2147483648 is no 32-bit number"],
    [
      "a symbol that isn't there",
      { type: "enum", name: "E", symbols: ["a", "b"] },
      varint(2),
      "malformed_body",
      "x: 2 is none of 2 symbols",
    ],
    ["a branch that isn't there", ["null", "string"], varint(-1), "malformed_body", "x: -1 is none of 2 branches"],
    ["a boolean of 2", "boolean", [2], "malformed_body", "x: byte 2 is no boolean"],
    ["nothing", "long", [], "malformed_body", "x: ends inside a number, at byte 0"],
  ])("refuses %s", (_, type, bytes, reason, detail) => {
    expect(check(type, bytes)).toEqual({ within: false, reason, detail });
  });

  test("refuses too many elements in all", () => {
    const nested = { type: "array", items: { type: "array", items: "boolean" } };
    const bounds = compileBounds(one(nested), { ...limits, elements_total: { max: 50, name: "TOTAL" } });
    const body = [
      ...varint(10),
      ...Array(10)
        .fill([...varint(5), 0, 0, 0, 0, 0, 0])
        .flat(),
      0,
    ];
    expect(bounds(Uint8Array.from(body))).toMatchObject({ within: false, reason: "out_of_bounds" });
  });

  test("accepts blocks that tell their size truly", () => {
    expect(check(strings, [...varint(-2), ...varint(2), 0, 0, ...varint(1), 0, 0])).toEqual(within);
  });

  test("ends a schema that names itself, deep down", () => {
    const list = { type: "record", name: "List", fields: [{ name: "next", type: ["null", "List"] }] } as Schema;
    const bounds = compileBounds(list, limits);
    const nested = (depth: number) => Uint8Array.from([...Array(depth).fill(2), 0]);
    expect(bounds(nested(10))).toEqual(within);
    expect(bounds(nested(10_000))).toMatchObject({ within: false, reason: "out_of_bounds" });
  });
});
