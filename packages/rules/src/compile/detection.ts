/**
 * A rule's `detection`, compiled: maps (all of their fields), lists of maps (any of them), keywords (searched in every field), and the
 * condition that joins them.
 */
import { isMap, isSeq, type Node } from "yaml";
import { scalarOf, type YamlSource } from "../yaml-source";
import { ConditionError, compileCondition } from "./condition";
import type { FieldSlots } from "./field-view";
import { checkModifiers, type Modified, ModifierError, modify, type Placeholders, type Scalar } from "./modifiers";
import { compileOperands } from "./operands";
import { both, either, negated, type Test } from "./test";

export interface CompileContext {
  readonly slots: FieldSlots;
  readonly placeholders: Placeholders;
}

export interface CompiledDetection {
  readonly test: Test;
  /** Fields that it reads. */
  readonly fields: ReadonlySet<string>;
}

/** Undefined where problems were reported. */
export function compileDetection(source: YamlSource, node: Node | null, context: CompileContext): CompiledDetection | undefined {
  const entries = source.entries(node, "detection");
  if (!entries) return undefined;
  const before = source.problems.length;
  const fields = new Set<string>();
  const detections = new Map<string, Test>();
  let condition: Node | null | undefined;
  for (const { key, at, value } of entries) {
    if (key === "condition") condition = value;
    else if (key === "timeframe") source.report(at, "'timeframe' belongs to Sigma 1's aggregations, which are not supported");
    else detections.set(key, new DetectionCompiler(source, context, fields).detection(value, key));
  }
  if (condition === undefined) {
    return source.report(node, "the detection has no condition; add one, such as 'condition: selection'");
  }
  if (detections.size === 0) return source.report(node, "the detection has nothing but a condition; add what it names");
  const test = compileConditions(source, condition, detections);
  return test && source.problems.length === before ? { test, fields } : undefined;
}

/** Of several conditions any may hold. */
function compileConditions(source: YamlSource, node: Node | null, detections: ReadonlyMap<string, Test>): Test | undefined {
  const nodes = isSeq(node) ? (node.items as Node[]) : [node];
  const tests = nodes.flatMap((item) => {
    const text = source.text(item, "the condition");
    if (text === undefined) return [];
    try {
      return [compileCondition(text, detections).test];
    } catch (error) {
      if (!(error instanceof ConditionError)) throw error;
      source.report(item, error.message);
      return [];
    }
  });
  return tests.length === nodes.length && tests.length > 0 ? either(tests) : undefined;
}

const nothing: Test = { holds: () => false, cost: 0 };

class DetectionCompiler {
  constructor(
    private readonly source: YamlSource,
    private readonly context: CompileContext,
    private readonly fields: Set<string>,
  ) {}

  detection(node: Node | null, name: string): Test {
    if (isMap(node)) return this.map(node, name);
    if (isSeq(node)) {
      const items = node.items as Node[];
      if (items.length === 0) return this.refuse(node, `'${name}' is an empty list, which can't match`);
      if (items.some(isMap))
        return either(items.map((item) => (isMap(item) ? this.map(item, name) : this.keywords([item], [], name))));
      return this.keywords(items, [], name);
    }
    return this.keywords([node], [], name);
  }

  private map(node: Node, name: string): Test {
    const entries = this.source.entries(node, `'${name}'`) ?? [];
    if (entries.length === 0) return this.refuse(node, `'${name}' is an empty map, which would match everything`);
    return both(
      entries.map(({ key, at, value }) => {
        const [field = "", ...modifiers] = key.split("|");
        const values = isSeq(value) ? (value.items as Node[]) : [value];
        try {
          checkModifiers(modifiers);
        } catch (error) {
          return this.refuseModifier(at, key, error);
        }
        if (field === "") return this.keywords(values, modifiers, name);
        this.fields.add(field);
        if (values.length === 0) return this.refuse(value, `'${key}' has an empty list, which can't match`);
        const slot = this.context.slots.slotOf(field);
        return this.item(values, modifiers, key, (modified) => compileOperands(modified, slot, (n) => this.reference(n)));
      }),
    );
  }

  /** Looked for anywhere in any field. */
  private keywords(values: readonly (Node | null)[], modifiers: readonly string[], name: string): Test {
    const unfit = modifiers.find((m) => keywordsUnfit.has(m));
    if (unfit !== undefined) return this.refuse(values[0], `'${unfit}' needs a field, and '${name}' has keywords`);
    const contains = modifiers.includes("re") || modifiers.includes("contains") ? modifiers : [...modifiers, "contains"];
    return this.item(values, contains, name, (modified) => compileOperands(modified, undefined, (n) => this.reference(n)));
  }

  private item(
    values: readonly (Node | null)[],
    modifiers: readonly string[],
    key: string,
    compile: (modified: Modified) => Test[],
  ): Test {
    const all = modifiers.includes("all");
    const groups: Modified[] = values.flatMap((node) => this.modified(node, modifiers, key));
    const cased = groups[0]?.cased ?? false;
    const operands = groups.flatMap((g) => g.operands);
    const tests = all ? groups.map((group) => either(compile(group))) : compile({ operands, cased });
    if (tests.length === 0) return nothing;
    const test = all ? both(tests) : either(tests);
    return modifiers.includes("neq") ? negated(test) : test;
  }

  private modified(node: Node | null, modifiers: readonly string[], key: string): Modified[] {
    const value: Scalar | undefined = scalarOf(node);
    if (value === undefined) {
      this.refuse(
        node,
        `a value of '${key}' must be a text, a number, true, false or null, not a ${isMap(node) ? "map" : "list"}`,
      );
      return [];
    }
    try {
      return [modify(value, modifiers, this.context.placeholders)];
    } catch (error) {
      this.refuseModifier(node, key, error);
      return [];
    }
  }

  private reference(field: string): number {
    this.fields.add(field);
    return this.context.slots.slotOf(field);
  }

  private refuseModifier(at: Node | null, key: string, error: unknown): Test {
    if (!(error instanceof ModifierError)) throw error;
    return this.refuse(at, `'${key}': ${error.message}`);
  }

  private refuse(at: Node | null | undefined, message: string): Test {
    this.source.report(at, message);
    return nothing;
  }
}

const keywordsUnfit: ReadonlySet<string> = new Set([
  ...["exists", "fieldref", "cidr", "lt", "lte", "gt", "gte", "startswith", "endswith"],
]);
