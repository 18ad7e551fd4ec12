/** The compiled, indexed matcher against one that reads the rule anew for each event and knows no index, shapes or slots. */
import fc from "fast-check";
import { loaded } from "./sigma";

type Value = string | number | null;
interface Item {
  readonly field: string;
  readonly modifiers: readonly string[];
  readonly values: readonly Value[];
}
interface Generated {
  readonly source: { readonly category?: string; readonly product?: string; readonly service?: string };
  readonly selections: readonly (readonly Item[])[];
  readonly condition: Condition;
}
type Condition =
  | { readonly kind: "name"; readonly at: number }
  | { readonly kind: "not"; readonly of: Condition }
  | { readonly kind: "and" | "or"; readonly left: Condition; readonly right: Condition }
  | { readonly kind: "1 of" | "all of" };

const fields = ["A", "B", "C"];
const text = fc.string({ unit: fc.constantFrom("a", "B", "*", "?", "\\", "/", "-", " "), maxLength: 6 });
const item: fc.Arbitrary<Item> = fc.record({
  field: fc.constantFrom(...fields),
  modifiers: fc
    .tuple(
      fc.constantFrom([], ["contains"], ["startswith"], ["endswith"]),
      fc.constantFrom([], ["all"]),
      fc.constantFrom([], [], ["cased"]),
      fc.constantFrom([], [], ["neq"]),
    )
    .map((groups) => groups.flat()),
  values: fc.array(fc.oneof({ weight: 5, arbitrary: text }, fc.integer({ min: 0, max: 3 })), { minLength: 1, maxLength: 3 }),
});
const condition = (selections: number): fc.Arbitrary<Condition> =>
  fc.letrec<{ any: Condition }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.record({ kind: fc.constant("name" as const), at: fc.nat(selections - 1) }),
      fc.record({ kind: fc.constantFrom("1 of" as const, "all of" as const) }),
      fc.record({ kind: fc.constant("not" as const), of: tie("any") }),
      fc.record({ kind: fc.constantFrom("and" as const, "or" as const), left: tie("any"), right: tie("any") }),
    ),
  })).any;
const optional = (...words: string[]) => fc.option(fc.constantFrom(...words), { nil: undefined });
const rule: fc.Arbitrary<Generated> = fc
  .array(fc.array(item, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 })
  .chain((selections) =>
    fc.record({
      source: fc
        .record({ category: optional("c1", "c2"), product: optional("p1", "p2"), service: optional("s1") })
        .map(({ category, product = "p1", service }) => ({
          product,
          ...(category && { category }),
          ...(service && { service }),
        })),
      selections: fc.constant(selections),
      condition: condition(selections.length),
    }),
  );
const value = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "B", "*", "\\", "/", "-", " "), maxLength: 6 }),
  fc.integer({ min: 0, max: 3 }),
  fc.constant(null),
  fc.array(fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 3 }), { maxLength: 3 }),
);
const event = fc.record({
  category: fc.constantFrom("c1", "c2"),
  product: fc.constantFrom("p1", "p2"),
  service: optional("s1", "s2"),
  fields: fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 3 }),
});
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

test("they agree on random rules and events", () => {
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 1, maxLength: 5 }),
      fc.array(event, { minLength: 1, maxLength: 10 }),
      (rules, events) => {
        const ruleset = loaded(...rules.map(write));
        for (const { service, ...rest } of events) {
          const found = ruleset.match(service === undefined ? rest : { ...rest, service }).map((r) => r.id);
          const expected = rules.flatMap((r, i) => (naive(r, { ...rest, service }) ? [`tests/r${i}.yml`] : []));
          expect(found).toEqual(expected);
        }
      },
    ),
    { numRuns: 500 },
  );
});

/** JSON is YAML. */
function write({ source, selections, condition }: Generated): string {
  const detection = Object.fromEntries(
    selections.map((items, i) => [
      `sel${i}`,
      Object.fromEntries(unique(items).map(({ field, modifiers, values }) => [[field, ...modifiers].join("|"), values])),
    ]),
  );
  return JSON.stringify({ title: "t", logsource: source, detection: { ...detection, condition: spell(condition) } });
}

/** A map has each key once; the last one counts. */
function unique(items: readonly Item[]): Item[] {
  return [...new Map(items.map((i) => [[i.field, ...i.modifiers].join("|"), i])).values()];
}

function spell(c: Condition): string {
  if (c.kind === "name") return `sel${c.at}`;
  if (c.kind === "not") return `not (${spell(c.of)})`;
  if (c.kind === "and" || c.kind === "or") return `(${spell(c.left)}) ${c.kind} (${spell(c.right)})`;
  return `${c.kind} sel*`;
}

function naive(rule: Generated, event: Event): boolean {
  const { category, product, service } = rule.source;
  if (category !== undefined && category !== event.category) return false;
  if (product !== event.product || (service !== undefined && service !== event.service)) return false;
  const selected = rule.selections.map((items) => unique(items).every((i) => naiveItem(i, event)));
  const evaluate = (c: Condition): boolean => {
    if (c.kind === "name") return selected[c.at] === true;
    if (c.kind === "not") return !evaluate(c.of);
    if (c.kind === "and") return evaluate(c.left) && evaluate(c.right);
    if (c.kind === "or") return evaluate(c.left) || evaluate(c.right);
    return c.kind === "1 of" ? selected.some((s) => s) : selected.every((s) => s);
  };
  return evaluate(rule.condition);
}

function naiveItem({ field, modifiers, values }: Item, event: Event): boolean {
  const given = event.fields[field];
  const elements = given === undefined || given === null ? [] : Array.isArray(given) ? given : [given];
  const one = (wanted: Value) => elements.some((element) => naiveValue(String(element), wanted, modifiers));
  const result = modifiers.includes("all") ? values.every(one) : values.some(one);
  return modifiers.includes("neq") ? !result : result;
}

/** By a regular expression made of the pattern. */
function naiveValue(element: string, wanted: Value, modifiers: readonly string[]): boolean {
  const source = String(wanted).replace(/\\([\\*?])|([*?])|([\s\S])/g, (_, escaped, wildcard, other) => {
    if (wildcard) return wildcard === "*" ? "[^]*" : "[^]";
    return (escaped ?? other).replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  });
  const before = modifiers.includes("contains") || modifiers.includes("endswith") ? "[^]*" : "";
  const after = modifiers.includes("contains") || modifiers.includes("startswith") ? "[^]*" : "";
  return new RegExp(`^${before}${source}${after}$`, modifiers.includes("cased") ? "u" : "iu").test(element);
}
