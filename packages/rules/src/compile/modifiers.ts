/**
 * Sigma's value modifiers: a field's modifiers, in the order in which they stand, turn each value as written into what is tested.
 * What can't be meant is refused with a message that says what can.
 */
import { base64, base64Offsets, type Encoding } from "./base64";
import { dashes, endingWith, hasWildcards, type Pattern, type Piece, parsePattern, plainText, startingWith } from "./pattern";
import { type Comparison, type CostedTextTest, comparedWith, expression, type Network, parseNetwork } from "./texts";

/** A value of a rule file; a number comes with how it is written. */
export type Scalar = string | boolean | null | { readonly number: number; readonly written: string };

export type Operand =
  | { readonly kind: "pattern"; readonly pattern: Pattern }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "null" }
  | { readonly kind: "exists"; readonly expected: boolean }
  | { readonly kind: "network"; readonly network: Network }
  | { readonly kind: "test"; readonly test: CostedTextTest }
  | { readonly kind: "field"; readonly name: string; readonly openStart: boolean; readonly openEnd: boolean };

export interface Modified {
  readonly operands: readonly Operand[];
  readonly cased: boolean;
}

/** Values for the placeholders of `expand`, by name without the percent signs. */
export type Placeholders = Readonly<Record<string, readonly string[]>>;

/** A modifier that can't be used so. */
export class ModifierError extends Error {}

export const listModifiers: ReadonlySet<string> = new Set(["all", "neq"]);
const affixes: ReadonlySet<string> = new Set(["contains", "startswith", "endswith"]);
const encodings: Readonly<Record<string, Encoding>> = {
  wide: "utf16le",
  utf16le: "utf16le",
  utf16be: "utf16be",
  utf16: "utf16",
};
const comparisons: ReadonlySet<string> = new Set(["lt", "lte", "gt", "gte"]);
const flags: Readonly<Record<string, "i" | "m" | "s">> = { i: "i", ignorecase: "i", m: "m", multiline: "m", s: "s", dotall: "s" };
const times: ReadonlySet<string> = new Set(["minute", "hour", "day", "week", "month", "year"]);
const known: readonly string[] = [
  ...listModifiers,
  ...affixes,
  ...Object.keys(encodings),
  ...comparisons,
  ...["base64", "base64offset", "cased", "cidr", "exists", "expand", "fieldref", "re", "i", "m", "s", "windash"],
];

/** An expression longer than this is refused. */
export const expression_chars_max = 8_192;
const expanded_values_max = 1_000;

/** Throws a ModifierError for a modifier that isn't known. */
export function checkModifiers(modifiers: readonly string[]): void {
  for (const modifier of modifiers) {
    if (times.has(modifier)) throw new ModifierError(`the time modifier '${modifier}' is not supported`);
    if (!known.includes(modifier) && !(modifier in flags)) {
      throw new ModifierError(`'${modifier}' is not a modifier; known are ${[...known].sort().join(", ")}`);
    }
  }
  const repeated = modifiers.find((modifier, i) => modifiers.indexOf(modifier) !== i);
  if (repeated !== undefined) throw new ModifierError(`the modifier '${repeated}' stands twice; write it once`);
}

/** Throws a ModifierError where a modifier doesn't fit the value or the ones before it. */
export function modify(value: Scalar, all: readonly string[], placeholders: Placeholders): Modified {
  const modifiers = all.filter((m) => !listModifiers.has(m) && m !== "expand" && m !== "cased");
  const cased = all.includes("cased");
  const values = all.includes("expand") ? expand(value, placeholders) : [value];
  const [first = ""] = modifiers;
  if (first === "re")
    return whole("re", cased, { operands: values.map((v) => expressionOf(v, modifiers.slice(1))), cased: true });
  if (first === "cidr") return whole("cidr", cased, { operands: values.map((v) => networkOf(v, modifiers)), cased });
  if (first === "exists") return whole("exists", cased, { operands: values.map((v) => existence(v, modifiers)), cased });
  if (comparisons.has(first)) return whole(first, cased, { operands: values.map((v) => comparison(v, modifiers)), cased });
  if (modifiers.includes("fieldref")) return { operands: values.map((v) => fieldReference(v, modifiers)), cased };
  return { operands: values.flatMap((v) => plainOperands(v, modifiers)), cased };
}

function whole(modifier: string, cased: boolean, modified: Modified): Modified {
  if (cased) throw new ModifierError(`'cased' says nothing beside '${modifier}'; leave it out`);
  return modified;
}

function plainOperands(value: Scalar, modifiers: readonly string[]): Operand[] {
  if (modifiers.length === 0) {
    if (value === null) return [{ kind: "null" }];
    if (typeof value === "object" && isExact(value.number)) return [{ kind: "number", value: value.number }];
  }
  if (value === null)
    throw new ModifierError(`null can't be used with '${modifiers.join("|")}'; test null in a selection of its own`);
  let patterns: Pattern[] = [typeof value === "string" ? parsePattern(value) : [{ text: written(value) }]];
  let encoding: Encoding = "utf8";
  for (const modifier of modifiers) {
    const wanted = encodings[modifier];
    if (modifier === "contains") patterns = patterns.map((p) => startingWith(endingWith(p)));
    else if (modifier === "startswith") patterns = patterns.map(startingWith);
    else if (modifier === "endswith") patterns = patterns.map(endingWith);
    else if (modifier === "windash") patterns = patterns.flatMap(anyDash);
    else if (wanted !== undefined) encoding = encodeOnce(encoding, wanted, modifier);
    else if (modifier === "base64" || modifier === "base64offset") {
      patterns = patterns.flatMap((p) => encoded(p, modifier, encoding));
      encoding = "utf8";
    } else throw new ModifierError(`'${modifier}' can't follow '${modifiers.slice(0, modifiers.indexOf(modifier)).join("|")}'`);
  }
  if (encoding !== "utf8") {
    throw new ModifierError(`'${encoding}' says how base64 reads the text; write base64 or base64offset after it`);
  }
  return patterns.map((pattern) => ({ kind: "pattern", pattern }));
}

function encodeOnce(before: Encoding, wanted: Encoding, modifier: string): Encoding {
  if (before !== "utf8") throw new ModifierError(`'${modifier}' follows another encoding; keep one of them`);
  return wanted;
}

function encoded(pattern: Pattern, modifier: "base64" | "base64offset", encoding: Encoding): Pattern[] {
  if (hasWildcards(pattern)) {
    throw new ModifierError(
      `text with wildcards can't be encoded by '${modifier}'; escape * and ? by a backslash, and write contains, startswith, endswith and windash after it`,
    );
  }
  const texts = modifier === "base64" ? [base64(plainText(pattern), encoding)] : base64Offsets(plainText(pattern), encoding);
  return texts.map((text) => [{ text }]);
}

function expressionOf(value: Scalar, rest: readonly string[]): Operand {
  if (typeof value !== "string") throw new ModifierError("'re' needs a text; put the expression in quotes");
  const wanted = new Set<"i" | "m" | "s">();
  for (const modifier of rest) {
    const flag = flags[modifier];
    if (flag === undefined) throw new ModifierError(`'${modifier}' can't be combined with 're'; say it in the expression`);
    wanted.add(flag);
  }
  if (value.length > expression_chars_max) {
    throw new ModifierError(`an expression of ${value.length} characters is longer than the limit of ${expression_chars_max}`);
  }
  try {
    return { kind: "test", test: expression(value, wanted) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModifierError(
      `the expression is not of RE2's syntax (no lookaround, atomic groups or back-references, so that it runs in linear time): ${reason}`,
    );
  }
}

function networkOf(value: Scalar, modifiers: readonly string[]): Operand {
  alone("cidr", modifiers);
  const network = typeof value === "string" ? parseNetwork(value) : undefined;
  if (network === "host_bits") {
    throw new ModifierError(
      `${value} has bits set after its prefix; write the network's first address, or no prefix for one address`,
    );
  }
  if (!network) throw new ModifierError(`'${String(value)}' is not a network; write it like 10.0.0.0/8 or fd00::/8`);
  return { kind: "network", network };
}

function existence(value: Scalar, modifiers: readonly string[]): Operand {
  alone("exists", modifiers);
  if (typeof value !== "boolean") throw new ModifierError("'exists' needs true or false, without quotes");
  return { kind: "exists", expected: value };
}

function comparison(value: Scalar, modifiers: readonly string[]): Operand {
  const [operator = ""] = modifiers;
  alone(operator, modifiers);
  if (typeof value !== "object" || value === null) throw new ModifierError(`'${operator}' needs a number, without quotes`);
  return { kind: "test", test: comparedWith(operator as Comparison, value.number) };
}

function fieldReference(value: Scalar, modifiers: readonly string[]): Operand {
  const stray = modifiers.find((m) => m !== "fieldref" && !affixes.has(m));
  if (stray !== undefined) throw new ModifierError(`'${stray}' can't be combined with 'fieldref'`);
  if (typeof value !== "string" || value === "") throw new ModifierError("'fieldref' needs the name of a field");
  const pattern = parsePattern(value);
  if (hasWildcards(pattern)) throw new ModifierError("the field that 'fieldref' names can't have wildcards");
  const contains = modifiers.includes("contains");
  return {
    kind: "field",
    name: plainText(pattern),
    openStart: contains || modifiers.includes("endswith"),
    openEnd: contains || modifiers.includes("startswith"),
  };
}

function alone(modifier: string, modifiers: readonly string[]): void {
  const other = modifiers.find((m) => m !== modifier);
  if (other !== undefined) throw new ModifierError(`'${other}' can't be combined with '${modifier}'`);
}

/** Each dash that begins an option stands for any dash. */
function anyDash(pattern: Pattern): Pattern[] {
  const pieces = pattern.flatMap((piece): Piece[] => (typeof piece === "string" ? [piece] : splitAtDashes(piece.text)));
  const places = pieces.filter((piece) => piece === "dash").length;
  if (places !== 1) return [pieces];
  // One dash alone: five plain texts are found faster than one with a choice.
  const at = pieces.indexOf("dash");
  return [...dashes].map((char) => joined([...pieces.slice(0, at), { text: char }, ...pieces.slice(at + 1)]));
}

/** A dash counts where a word begins after it and none ends before it. */
function splitAtDashes(text: string): Piece[] {
  return text
    .split(/(?<![\p{L}\p{N}_])([-/\u2013\u2014\u2015])(?=[\p{L}\p{N}_])/u)
    .map((part, i): Piece => (i % 2 === 1 ? "dash" : { text: part }))
    .filter((piece) => piece === "dash" || (typeof piece === "object" && piece.text !== ""));
}

function joined(pieces: readonly Piece[]): Pattern {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (typeof piece === "object" && typeof last === "object") result[result.length - 1] = { text: last.text + piece.text };
    else result.push(piece);
  }
  return result;
}

function expand(value: Scalar, placeholders: Placeholders): Scalar[] {
  if (typeof value !== "string") return [value];
  let texts = [""];
  for (const [whole, name] of value.matchAll(/\\%|%([^%\s]+)%|[^\\%]+|[\s\S]/g)) {
    const parts = name === undefined ? [whole === "\\%" ? "%" : whole] : placeholders[name];
    if (!parts) throw new ModifierError(`no values are given for the placeholder %${name}%`);
    texts = texts.flatMap((text) => parts.map((part) => text + part));
    if (texts.length > expanded_values_max) {
      throw new ModifierError(`placeholders expand to more than the limit of ${expanded_values_max} values`);
    }
  }
  return texts;
}

function written(value: Exclude<Scalar, string | null>): string {
  return typeof value === "object" ? value.written : String(value);
}

/** Integers past 2^53 are compared as they are written. */
function isExact(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}
