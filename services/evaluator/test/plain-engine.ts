/** An engine of plain predicates, so that the reducers' tests say in one line what a rule matches. */
import type { EvidenceItem, FieldValue, Rule } from "@assay/rules/rule";
import type { InventorySection } from "@assay/schemas/generated/types";
import type { Engine } from "../src/engine";
import type { PackageFailure, RuleSet, RuleSets } from "../src/rule-sets";
import { rule } from "./given";

export interface PlainRule {
  readonly rule: Rule;
  readonly when: (fields: Readonly<Record<string, FieldValue>>) => boolean;
}

export function plain(id: string, over: Partial<Rule>, when: PlainRule["when"]): PlainRule {
  return { rule: rule(id, over), when };
}

export function ruleSet(
  digest: string,
  effective_from: number,
  plains: readonly PlainRule[],
  failures: PackageFailure[] = [],
): RuleSet {
  return {
    digest,
    effective_from,
    rules: new Map(plains.map((p) => [p.rule.id, p.rule])),
    failures,
    told: new Map(),
    matches: (item) => plains.filter((p) => p.rule.category === item.category && p.when(item.fields)).map((p) => p.rule),
  };
}

/** The sets, oldest first. */
export function inForce(...sets: readonly RuleSet[]): RuleSets {
  const none = ruleSet("", 0, []);
  return { at: (event_time) => sets.findLast((set) => set.effective_from <= event_time) ?? none };
}

const item = (category: string, fields: EvidenceItem["fields"]): EvidenceItem => ({ category, product: "linux", fields });

export const plainEngine: Engine = {
  process: (o) => item("process_creation", { Image: o.image, CommandLine: o.command_line, User: o.user }),
  connection: (o) => item("network_connection", { Image: o.image, DestinationPort: o.destination_port }),
  listener: (o, used) => item("listener", { Port: o.port, Image: o.image, Used: used ?? null }),
  flow: (f) => item("flow", { DestinationPort: f.destination_port, Image: f.source.image }),
  missingFields: (asked, missing) => asked.fields.filter((field) => missing.includes(field)),
  findingId: (rule_id, _kind, resource, identity) => `${rule_id} on ${resource} ${JSON.stringify(identity)}`,
  identity: (asked, { fields }) => Object.fromEntries(asked.identity.map((name) => [name, String(fields[name])])),
  isWhole: (section) => section.status === "collected",
  judgeSection(rules, section, content) {
    return [...rules.rules.values()]
      .filter((r) => r.category === "setting" && r.service === section.section)
      .map((r) => judge(rules, r, section, content));
  },
};

function judge(rules: RuleSet, asked: Rule, section: InventorySection, content: unknown) {
  const fields = ((content ?? {}) as { settings?: Record<string, string> }).settings ?? {};
  const shown = item("setting", fields);
  const matches = rules.matches(shown).some((r) => r.id === asked.id) ? [shown] : [];
  const outcome = (
    {
      absent: "not_applicable",
      unreadable: "insufficient_evidence",
      partial: "insufficient_evidence",
      collected: "clear",
    } as const
  )[section.status];
  const judged = matches.length > 0 ? ({ outcome: "match", reason: "" } as const) : { outcome, reason: section.reason };
  return { rule: asked, judged, matches };
}
