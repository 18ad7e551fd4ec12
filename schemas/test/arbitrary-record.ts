/** Any value that a schema allows, for properties. */
import { type Schema, Type, type types } from "avsc";
import fc from "fast-check";

export function arbitraryOf(schema: Schema): fc.Arbitrary<unknown> {
  return ofType(Type.forSchema(schema));
}

/** An object can't hold __proto__ as a key of its own by assignment. */
const key = fc.string({ minLength: 1, maxLength: 8 }).filter((k) => k !== "__proto__");

function ofType(type: Type): fc.Arbitrary<unknown> {
  switch (type.typeName) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "int":
      return fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    case "long":
      return fc.integer({ min: -(2 ** 52), max: Number.MAX_SAFE_INTEGER - 1 }); // what avsc reads rightly
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 20 });
    case "bytes":
      return fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
    case "enum":
      return fc.constantFrom(...(type as types.EnumType).symbols);
    case "array":
      return fc.array(ofType((type as types.ArrayType).itemsType), { maxLength: 3 });
    case "map":
      return fc.dictionary(key, ofType((type as types.MapType).valuesType), { maxKeys: 3, noNullPrototype: true });
    case "union:unwrapped":
      return fc.oneof(...(type as types.UnwrappedUnionType).types.map(ofType));
    case "record":
      return fc.record(Object.fromEntries((type as types.RecordType).fields.map((field) => [field.name, ofType(field.type)])), {
        noNullPrototype: true,
      });
    default:
      throw new Error(`no arbitrary for the Avro type ${type.typeName}`);
  }
}
