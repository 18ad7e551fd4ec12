/** What a piece of a rule is compiled to. Tests have no effects, so they may be asked in any order: the cheap ones come first. */
import type { FieldView } from "./field-view";

export interface Test {
  readonly holds: (view: FieldView) => boolean;
  /** About how much work it is, in comparisons of a short text. */
  readonly cost: number;
}

export function both(tests: readonly Test[]): Test {
  const sorted = byCost(tests);
  const [first, second] = sorted.map((t) => t.holds);
  if (first && sorted.length === 1) return { holds: first, cost: costOf(sorted) };
  if (first && second && sorted.length === 2) return { holds: (view) => first(view) && second(view), cost: costOf(sorted) };
  const all = sorted.map((t) => t.holds);
  return {
    holds: (view) => {
      for (const holds of all) if (!holds(view)) return false;
      return true;
    },
    cost: costOf(sorted),
  };
}

export function either(tests: readonly Test[]): Test {
  const sorted = byCost(tests);
  const [first, second] = sorted.map((t) => t.holds);
  if (first && sorted.length === 1) return { holds: first, cost: costOf(sorted) };
  if (first && second && sorted.length === 2) return { holds: (view) => first(view) || second(view), cost: costOf(sorted) };
  const all = sorted.map((t) => t.holds);
  return {
    holds: (view) => {
      for (const holds of all) if (holds(view)) return true;
      return false;
    },
    cost: costOf(sorted),
  };
}

export function negated({ holds, cost }: Test): Test {
  return { holds: (view) => !holds(view), cost };
}

function byCost(tests: readonly Test[]): Test[] {
  return [...tests].sort((a, b) => a.cost - b.cost);
}

function costOf(tests: readonly Test[]): number {
  return tests.reduce((sum, t) => sum + t.cost, 0);
}
