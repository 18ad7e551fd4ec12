/** A rule's cases: evidence, and what the rule must say about it. They are judged by the real engine. */
import type { SectionStatus } from "@assay/schemas/generated/types";
import { type Judged, judgeSection, judgeWindow, type Matcher } from "./outcome";
import type { FieldValue, Outcome, Rule } from "./rule";

export interface RuleCase {
  readonly name: string;
  readonly expect: Exclude<Outcome, "error">;
  readonly evidence:
    | { readonly kind: "event"; readonly fields: Readonly<Record<string, FieldValue>> }
    | {
        readonly kind: "section";
        readonly name: string;
        readonly status: SectionStatus;
        readonly reason: string;
        readonly content: unknown;
      };
  readonly line: number;
}

/** An event is judged as the only one of a window that was watched wholly. */
export function judgeCase(matcher: Matcher, rule: Rule, { evidence }: RuleCase): Judged {
  if (evidence.kind === "event") {
    const base = { category: rule.category, product: rule.product ?? "", fields: evidence.fields };
    const item = rule.service === undefined ? base : { ...base, service: rule.service };
    const [judgement] = judgeWindow(matcher, [rule], [item], { incomplete: undefined, missing_fields: [] });
    return judgement?.judged ?? { outcome: "error", reason: "the rule was not judged" };
  }
  const judgement = judgeSection(matcher, evidence).find((j) => j.rule.id === rule.id);
  return judgement?.judged ?? { outcome: "error", reason: `the section ${evidence.name} does not decide this rule` };
}
