/**
 * A Sigma string: text with wildcards. `*` stands for any text, `?` for one character; a backslash takes the meaning from a wildcard
 * or a backslash that follows, and is itself before anything else.
 */
import { fold } from "./fold";

/** dash: any of the dashes that the windash modifier takes for one another. */
export type Piece = { readonly text: string } | "any" | "one" | "dash";
export type Pattern = readonly Piece[];
export type TextTest = (text: string) => boolean;

export function parsePattern(value: string): Pattern {
  const pieces: Piece[] = [];
  let text = "";
  const endText = () => {
    if (text !== "") pieces.push({ text });
    text = "";
  };
  for (let i = 0; i < value.length; i++) {
    const char = value.charAt(i);
    const next = value.charAt(i + 1);
    if (char === "\\" && (next === "\\" || next === "*" || next === "?")) {
      text += next;
      i++;
    } else if (char === "*" || char === "?") {
      endText();
      if (char === "?" || pieces.at(-1) !== "any") pieces.push(char === "*" ? "any" : "one");
    } else {
      text += char;
    }
  }
  endText();
  return pieces;
}

export function hasWildcards(pattern: Pattern): boolean {
  return pattern.some((piece) => typeof piece === "string");
}

/** The text of a pattern without wildcards. */
export function plainText(pattern: Pattern): string {
  return pattern.map((piece) => (typeof piece === "string" ? "" : piece.text)).join("");
}

export function startingWith(pattern: Pattern): Pattern {
  return pattern.at(-1) === "any" ? pattern : [...pattern, "any"];
}

export function endingWith(pattern: Pattern): Pattern {
  return pattern[0] === "any" ? pattern : ["any", ...pattern];
}

/** How a pattern can be tested; lists of one kind are tested together. */
export type Shape =
  | { readonly kind: "exact" | "prefix" | "suffix" | "part"; readonly text: string }
  | { readonly kind: "wild"; readonly test: TextTest };

export function shapeOf(pattern: Pattern, cased: boolean): Shape {
  const pieces = cased ? pattern : pattern.map((piece) => (typeof piece === "string" ? piece : { text: fold(piece.text) }));
  const middle = pieces.slice(pieces[0] === "any" ? 1 : 0, pieces.length > 1 && pieces.at(-1) === "any" ? -1 : pieces.length);
  if (middle.some((piece) => piece === "one" || piece === "dash")) return { kind: "wild", test: byCharacter(pieces) };
  const texts = middle.flatMap((piece) => (typeof piece === "string" ? [] : [piece.text]));
  const openStart = pieces[0] === "any";
  const openEnd = pieces.at(-1) === "any";
  if (texts.length > 1) return { kind: "wild", test: inOrder(texts, openStart, openEnd) };
  const text = texts[0] ?? "";
  if (openStart) return { kind: openEnd ? "part" : "suffix", text };
  return { kind: openEnd ? "prefix" : "exact", text };
}

/** Texts that follow one another with anything between. */
function inOrder(texts: readonly string[], openStart: boolean, openEnd: boolean): TextTest {
  const first = openStart ? "" : (texts[0] ?? "");
  const last = openEnd ? "" : (texts.at(-1) ?? "");
  const middle = texts.slice(openStart ? 0 : 1, openEnd ? texts.length : -1);
  return (text) => {
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    const end = text.length - last.length;
    let at = first.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}

const any = -1;
const one = -2;
const dash = -3;
const codeOf = { any, one, dash };

/** The dashes that Windows programs take for one another: - / en dash, em dash, horizontal bar. */
export const dashes = "-/\u2013\u2014\u2015";

/** Character by character; after a mismatch goes on from the last `*`, so the work is bounded by text × pattern. */
function byCharacter(pattern: Pattern): TextTest {
  const codes: number[] = [];
  for (const piece of pattern) {
    if (typeof piece === "string") codes.push(codeOf[piece]);
    else for (let i = 0; i < piece.text.length; i++) codes.push(piece.text.charCodeAt(i));
  }
  return (text) => {
    let at = 0;
    let code = 0;
    let lastAny = -1;
    let anyEnd = 0;
    while (at < text.length) {
      const wanted = codes[code];
      if (wanted === any) {
        lastAny = code++;
        anyEnd = at;
        continue;
      }
      const width = wanted === undefined ? 0 : taken(wanted, text, at);
      if (width > 0) {
        at += width;
        code++;
      } else if (lastAny >= 0) {
        code = lastAny + 1;
        at = ++anyEnd;
      } else {
        return false;
      }
    }
    while (codes[code] === any) code++;
    return code === codes.length;
  };
}

/** How many code units the wanted code takes; 0 where it doesn't fit. */
function taken(wanted: number, text: string, at: number): number {
  if (wanted === one) return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  if (wanted === dash) return dashes.includes(text.charAt(at)) ? 1 : 0;
  return text.charCodeAt(at) === wanted ? 1 : 0;
}
