/** What the reducers need of the rule engine; rule-engine.ts gives it from @assay/rules. */

import type { EvidenceItem, Rule } from "@assay/rules/rule";
import type {
  ConnectionObservation,
  Flow,
  InventorySection,
  ListenerObservation,
  ProcessObservation,
} from "@assay/schemas/generated/types";
import type { Judged } from "./outcomes";
import type { RuleSet } from "./rule-sets";

export interface Engine {
  process(observation: ProcessObservation): EvidenceItem;
  connection(observation: ConnectionObservation): EvidenceItem;
  /** used: whether it was used in the period that is asked about; undefined where none is. */
  listener(observation: ListenerObservation, used?: boolean): EvidenceItem;
  flow(flow: Flow): EvidenceItem;
  /** Of the rule's fields, those that a collector which can't read `missing` doesn't give. */
  missingFields(rule: Rule, missing: readonly string[]): readonly string[];
  findingId(rule_id: string, kind: "host" | "application", resource: string, identity: Readonly<Record<string, string>>): string;
  identity(rule: Rule, item: EvidenceItem): Record<string, string>;
  /** Every rule that this section decides, with what of the section matched. */
  judgeSection(rules: RuleSet, section: InventorySection, content: unknown): readonly SectionJudgement[];
  /** Whether a well-formed section shows everything that it is about. */
  isWhole(section: InventorySection, content: unknown): boolean;
}

export interface SectionJudgement {
  readonly rule: Rule;
  readonly judged: Judged;
  readonly matches: readonly EvidenceItem[];
}
