/** Rules that are in force together: compiled, and indexed by what they are asked of. */
import { createHash } from "node:crypto";
import type { FieldSlots } from "./compile/field-view";
import { FieldView } from "./compile/field-view";
import type { Test } from "./compile/test";
import type { EvidenceItem, Rule } from "./rule";
import type { RuleCase } from "./rule-case";

export interface PackageSummary {
  readonly name: string;
  readonly version: string;
  /** SHA-256, hex, over the sorted paths and texts. */
  readonly digest: string;
  readonly title: string;
  readonly description: string;
}

export interface CompiledRule {
  readonly rule: Rule;
  readonly test: Test;
  readonly cases: readonly RuleCase[];
}

/** Sources (category, product, service) whose rules are remembered; what comes past that is looked up each time. */
const remembered_sources_max = 1_024;

export class RuleSet {
  /** SHA-256, hex, of the packages' names and digests. */
  readonly digest: string;
  readonly rules: readonly Rule[];
  private readonly byId: ReadonlyMap<string, CompiledRule>;
  private readonly bySource = new Map<string, readonly CompiledRule[]>();
  private readonly view: FieldView;

  constructor(
    readonly packages: readonly PackageSummary[],
    private readonly compiled: readonly CompiledRule[],
    slots: FieldSlots,
  ) {
    const sorted = [...packages].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.digest = createHash("sha256")
      .update(sorted.map((p) => `${p.name}:${p.digest}\n`).join(""))
      .digest("hex");
    this.rules = compiled.map((c) => c.rule);
    this.byId = new Map(compiled.map((c) => [c.rule.id, c]));
    this.view = new FieldView(slots.names);
  }

  rule(id: string): Rule | undefined {
    return this.byId.get(id)?.rule;
  }

  casesOf(id: string): readonly RuleCase[] {
    return this.byId.get(id)?.cases ?? [];
  }

  /** The rules whose detection this item satisfies. Platforms are for the judge (outcome.ts). */
  match(item: EvidenceItem): readonly Rule[] {
    this.view.load(item);
    const matched: Rule[] = [];
    for (const { rule, test } of this.candidates(item.category, item.product, item.service)) {
      if (test.holds(this.view)) matched.push(rule);
    }
    return matched;
  }

  rulesFor(category: string, product: string, service?: string): readonly Rule[] {
    return this.candidates(category, product, service).map((c) => c.rule);
  }

  /** Every field that rules of this source read. */
  fieldsFor(category: string, product: string, service?: string): ReadonlySet<string> {
    return new Set(this.candidates(category, product, service).flatMap((c) => c.rule.fields));
  }

  private candidates(category: string, product: string, service: string | undefined): readonly CompiledRule[] {
    const key = `${category}\0${product}\0${service ?? ""}`;
    const known = this.bySource.get(key);
    if (known) return known;
    const found = this.compiled.filter(({ rule }) => isAskedOf(rule, category, product, service));
    if (this.bySource.size < remembered_sources_max) this.bySource.set(key, found);
    return found;
  }
}

/**
 * What a rule's source declares must be the item's; what it leaves open may be anything. An item without a category is of an unknown
 * source, and contradicts a rule only where it says something else.
 */
function isAskedOf(rule: Rule, category: string, product: string, service: string | undefined): boolean {
  if (category === "") return agrees(rule.product, product) && agrees(rule.service, service);
  return (
    (rule.category === "" || rule.category === category) &&
    agrees(rule.product, product) &&
    (rule.service === undefined || rule.service === service)
  );
}

function agrees(declared: string | undefined, given: string | undefined): boolean {
  return declared === undefined || given === undefined || given === "" || declared === given;
}
