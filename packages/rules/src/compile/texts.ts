/** Tests of a text against many patterns, numbers, expressions or networks at once: one closure per kind, not per value. */
import ipaddr from "ipaddr.js";
import { RE2JS } from "re2js";
import { type Pattern, shapeOf, type TextTest } from "./pattern";

export interface CostedTextTest {
  readonly matches: TextTest;
  readonly cost: number;
}

/** Whether a text is one of these. Unless cased, the text must come folded. */
export function anyPattern(patterns: readonly Pattern[], cased: boolean): CostedTextTest {
  const texts = { exact: new Set<string>(), prefix: new Set<string>(), suffix: new Set<string>(), part: new Set<string>() };
  const wild: TextTest[] = [];
  for (const pattern of patterns) {
    const shape = shapeOf(pattern, cased);
    if (shape.kind === "wild") wild.push(shape.test);
    else texts[shape.kind].add(shape.text);
  }
  const tests: TextTest[] = [];
  if (texts.exact.size > 0) tests.push(equalTo(texts.exact));
  if (texts.prefix.size > 0) tests.push(startsWithAny([...texts.prefix]));
  if (texts.suffix.size > 0) tests.push(endsWithAny([...texts.suffix]));
  if (texts.part.size > 0) tests.push(containsAny([...texts.part]));
  const cost = tests.length + texts.prefix.size + texts.suffix.size + 5 * texts.part.size + 20 * wild.length;
  return { matches: anyText([...tests, ...wild]), cost };
}

/** By value, also where the text writes the number in another way. */
export function anyNumber(numbers: readonly number[]): CostedTextTest {
  const texts = new Set(numbers.map(String));
  const values = new Set(numbers);
  return { matches: (text) => texts.has(text) || values.has(numberIn(text)), cost: 2 };
}

export type Comparison = "lt" | "lte" | "gt" | "gte";

export function comparedWith(comparison: Comparison, bound: number): CostedTextTest {
  const compare = comparisons[comparison];
  return { matches: (text) => compare(numberIn(text), bound), cost: 2 };
}

const comparisons: Readonly<Record<Comparison, (value: number, bound: number) => boolean>> = {
  lt: (value, bound) => value < bound,
  lte: (value, bound) => value <= bound,
  gt: (value, bound) => value > bound,
  gte: (value, bound) => value >= bound,
};

/** NaN, which nothing compares with, where the text isn't a decimal number. */
function numberIn(text: string): number {
  return decimal.test(text) ? Number(text) : Number.NaN;
}
const decimal = /^[+-]?\d{1,20}(?:\.\d{1,20})?$/;

export function expression(source: string, flags: ReadonlySet<"i" | "m" | "s">): CostedTextTest {
  const bits =
    (flags.has("i") ? RE2JS.CASE_INSENSITIVE : 0) | (flags.has("m") ? RE2JS.MULTILINE : 0) | (flags.has("s") ? RE2JS.DOTALL : 0);
  const compiled = RE2JS.compile(source, bits);
  return { matches: (text) => compiled.test(text), cost: 200 };
}

export interface Network {
  readonly bytes: readonly number[];
  readonly bits: number;
}

/** Undefined where it isn't one. An address alone is the network of just that address. */
export function parseNetwork(text: string): Network | "host_bits" | undefined {
  const [address = "", prefix, ...more] = text.split("/");
  const bytes = addressBytes(address);
  if (!bytes || more.length > 0 || (prefix !== undefined && !/^\d{1,3}$/.test(prefix))) return undefined;
  const bits = prefix === undefined ? bytes.length * 8 : Number(prefix);
  if (bits > bytes.length * 8) return undefined;
  const rest = bytes.some((byte, i) => (byte & ~maskOf(bits, i) & 0xff) !== 0);
  return rest ? "host_bits" : { bytes, bits };
}

export function inAnyNetwork(networks: readonly Network[]): CostedTextTest {
  const matches: TextTest = (text) => {
    const bytes = addressBytes(text);
    return bytes !== undefined && networks.some((network) => inNetwork(network, bytes));
  };
  return { matches, cost: 20 };
}

function inNetwork({ bytes, bits }: Network, address: readonly number[]): boolean {
  if (bytes.length !== address.length) return false;
  return bytes.every((byte, i) => ((address[i] ?? 0) & maskOf(bits, i)) === byte);
}

function maskOf(bits: number, byte: number): number {
  const own = Math.min(8, Math.max(0, bits - 8 * byte));
  return (0xff << (8 - own)) & 0xff;
}

/** An IPv4 address written as IPv6 (::ffff:10.0.0.1) counts as IPv4; a zone (%eth0) doesn't count. */
function addressBytes(text: string): readonly number[] | undefined {
  const zone = text.indexOf("%");
  const plain = zone < 0 ? text : text.slice(0, zone);
  if (ipaddr.IPv4.isValidFourPartDecimal(plain)) return ipaddr.IPv4.parse(plain).toByteArray();
  if (!plain.includes(":") || !ipaddr.IPv6.isValid(plain)) return undefined;
  const address = ipaddr.IPv6.parse(plain);
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toByteArray() : address.toByteArray();
}

export function anyText(tests: readonly TextTest[]): TextTest {
  const [first] = tests;
  if (first && tests.length === 1) return first;
  return (text) => {
    for (const test of tests) if (test(text)) return true;
    return false;
  };
}

function equalTo(texts: ReadonlySet<string>): TextTest {
  const [only = ""] = texts;
  if (texts.size === 1) return (text) => text === only;
  return (text) => texts.has(text);
}

function startsWithAny(starts: readonly string[]): TextTest {
  const [only = ""] = starts;
  if (starts.length === 1) return (text) => text.startsWith(only);
  return (text) => {
    for (const start of starts) if (text.startsWith(start)) return true;
    return false;
  };
}

function endsWithAny(ends: readonly string[]): TextTest {
  const [only = ""] = ends;
  if (ends.length === 1) return (text) => text.endsWith(only);
  return (text) => {
    for (const end of ends) if (text.endsWith(end)) return true;
    return false;
  };
}

function containsAny(parts: readonly string[]): TextTest {
  const [only = ""] = parts;
  if (parts.length === 1) return (text) => text.includes(only);
  return (text) => {
    for (const part of parts) if (text.includes(part)) return true;
    return false;
  };
}
