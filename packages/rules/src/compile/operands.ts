/** What a field, or every field where none is named, is compared with: operands of one kind are tested together. */
import type { FieldView } from "./field-view";
import type { Modified, Operand } from "./modifiers";
import type { TextTest } from "./pattern";
import type { Test } from "./test";
import { anyNumber, anyPattern, type CostedTextTest, inAnyNetwork } from "./texts";

/** One test per kind of operand; any of them may hold. slotOf gives the slot of a field that an operand refers to. */
export function compileOperands(
  { operands, cased }: Modified,
  slot: number | undefined,
  slotOf: (field: string) => number,
): Test[] {
  const of = <K extends Operand["kind"]>(kind: K) => operands.filter((o): o is Extract<Operand, { kind: K }> => o.kind === kind);
  const patterns = of("pattern").map((o) => o.pattern);
  const numbers = of("number").map((o) => o.value);
  const networks = of("network").map((o) => o.network);
  const tests: Test[] = [];
  if (patterns.length > 0) tests.push(onTexts(anyPattern(patterns, cased), slot, cased));
  if (numbers.length > 0) tests.push(onTexts(anyNumber(numbers), slot, true));
  if (networks.length > 0) tests.push(onTexts(inAnyNetwork(networks), slot, true));
  for (const { test } of of("test")) tests.push(onTexts(test, slot, true));
  if (slot === undefined) return tests;
  if (of("null").length > 0) tests.push({ holds: (view) => view.isNull(slot), cost: 1 });
  for (const { expected } of of("exists")) tests.push({ holds: (view) => view.has(slot) === expected, cost: 1 });
  for (const o of of("field")) tests.push(comparedWithField(slot, slotOf(o.name), o.openStart, o.openEnd, cased));
  return tests;
}

/** A list matches where any of its elements does. */
function onTexts({ matches, cost }: CostedTextTest, slot: number | undefined, cased: boolean): Test {
  if (slot === undefined) {
    return { holds: (view) => (cased ? view.all() : view.allFolded()).some((text) => matches(text)), cost: 20 * cost };
  }
  if (cased) {
    return {
      holds: (view) => {
        const text = view.text(slot);
        return text === undefined ? anyOf(view.list(slot), matches) : matches(text);
      },
      cost,
    };
  }
  return {
    holds: (view) => {
      const text = view.foldedText(slot);
      return text === undefined ? anyOf(view.foldedList(slot), matches) : matches(text);
    },
    cost,
  };
}

function anyOf(texts: readonly string[], matches: TextTest): boolean {
  for (const text of texts) if (matches(text)) return true;
  return false;
}

function comparedWithField(slot: number, other: number, openStart: boolean, openEnd: boolean, cased: boolean): Test {
  const fits = (text: string, wanted: string): boolean => {
    if (openStart && openEnd) return text.includes(wanted);
    if (openStart) return text.endsWith(wanted);
    return openEnd ? text.startsWith(wanted) : text === wanted;
  };
  return {
    holds: (view) => {
      const wanted = textsOf(view, other, cased);
      return textsOf(view, slot, cased).some((text) => wanted.some((w) => fits(text, w)));
    },
    cost: 10,
  };
}

function textsOf(view: FieldView, slot: number, cased: boolean): readonly string[] {
  const text = cased ? view.text(slot) : view.foldedText(slot);
  if (text !== undefined) return [text];
  return cased ? view.list(slot) : view.foldedList(slot);
}
