/**
 * What evidence says about rules. No data is never "clear": what wasn't watched, couldn't be read or isn't collected makes
 * insufficient_evidence; what isn't on the host, or another platform's rule, is not_applicable.
 */

import type { SectionStatus } from "@assay/schemas/generated/types";
import { type SectionName, sectionNames } from "@assay/schemas/inventory";
import { categoryNamed, sectionOf } from "./categories";
import { missingFields } from "./fields";
import type { EvidenceItem, Outcome, Rule } from "./rule";
import { MalformedSection, type SectionEvidence, sectionItems } from "./section-items";

export interface Judged {
  readonly outcome: Outcome;
  /** Empty for match and clear. */
  readonly reason: string;
}

export interface Judgement {
  readonly rule: Rule;
  readonly judged: Judged;
  /** Empty unless the outcome is match. */
  readonly matches: readonly EvidenceItem[];
}

export interface Matcher {
  readonly rules: Iterable<Rule>;
  match(item: EvidenceItem): readonly Rule[];
}

export interface JudgedSection {
  readonly name: string;
  readonly status: SectionStatus;
  /** Why it is absent, partial or unreadable. */
  readonly reason: string;
  /** Parsed JSON. */
  readonly content: unknown;
}

export interface WindowCoverage {
  /** Why what was collected is less than everything that happened; undefined where it is everything. */
  readonly incomplete: string | undefined;
  /** Sigma names of fields that some observations lack. */
  readonly missing_fields: readonly string[];
}

export const platform = "linux";

/** What holds of a rule on this platform whatever the evidence: undefined where the evidence decides. */
export function judgeWithoutEvidence(rule: Rule): Judged | undefined {
  if (rule.platforms.length > 0 && !rule.platforms.includes(platform)) {
    return { outcome: "not_applicable", reason: `the rule is for ${rule.platforms.join(", ")}` };
  }
  const known = categoryNamed(rule.category);
  const fed = known && (known.source.kind !== "inventory" || sectionOf(rule.category, rule.service) !== undefined);
  return fed ? undefined : insufficient(`nothing collects ${sourceName(rule)}`);
}

/** Every rule that this section decides. */
export function judgeSection(matcher: Matcher, section: JudgedSection): Judgement[] {
  const rules = [...matcher.rules].filter((rule) => sectionOf(rule.category, rule.service) === section.name);
  if (rules.length === 0) return [];
  const told = withoutContent(section);
  if (told) return rules.map((rule) => ({ rule, judged: judgeWithoutEvidence(rule) ?? told, matches: [] }));
  const evidence = readItems(section);
  if (evidence instanceof MalformedSection) {
    const judged = { outcome: "error", reason: `the inventory of ${section.name} is malformed: ${evidence.message}` } as const;
    return rules.map((rule) => ({ rule, judged, matches: [] }));
  }
  const matches = matchesByRule(matcher, evidence.items);
  return rules.map((rule) => judgement(rule, matches.get(rule) ?? [], () => sectionGap(rule, section, evidence)));
}

/** These rules, of one category, over what a window holds of it. */
export function judgeWindow(
  matcher: Matcher,
  rules: readonly Rule[],
  items: readonly EvidenceItem[],
  coverage: WindowCoverage,
): Judgement[] {
  const matches = matchesByRule(matcher, items);
  return rules.map((rule) =>
    judgement(rule, matches.get(rule) ?? [], () => {
      if (coverage.incomplete !== undefined) return { reason: coverage.incomplete, undecided: false };
      const missing = missingFields(rule, coverage.missing_fields);
      return missing.length === 0 ? undefined : { reason: `not collected: ${missing.join(", ")}`, undecided: false };
    }),
  );
}

interface Gap {
  readonly reason: string;
  /** Not even a match can be trusted. */
  readonly undecided: boolean;
}

function judgement(rule: Rule, matches: readonly EvidenceItem[], gapOf: () => Gap | undefined): Judgement {
  const told = judgeWithoutEvidence(rule);
  if (told) return { rule, judged: told, matches: [] };
  const gap = gapOf();
  if (matches.length > 0 && !gap?.undecided) return { rule, judged: { outcome: "match", reason: "" }, matches };
  return { rule, judged: gap ? insufficient(gap.reason) : { outcome: "clear", reason: "" }, matches: [] };
}

function withoutContent({ name, status, reason }: JudgedSection): Judged | undefined {
  if (status === "absent") return { outcome: "not_applicable", reason: reason || `${name} is not on this host` };
  if (status === "unreadable") return insufficient(reason || `${name} could not be read`);
  return undefined;
}

function readItems({ name, content }: JudgedSection): SectionEvidence | MalformedSection {
  const section = (sectionNames as readonly string[]).includes(name) ? (name as SectionName) : undefined;
  if (section === undefined) return new MalformedSection(`no section is named ${name}`);
  try {
    return sectionItems(section, content);
  } catch (error) {
    if (error instanceof MalformedSection) return error;
    throw error;
  }
}

function sectionGap(rule: Rule, section: JudgedSection, evidence: SectionEvidence): Gap | undefined {
  const partial = section.status === "partial" ? section.reason || `${section.name} was read in part` : "";
  if (rule.category === "setting") {
    return settingGap(rule, section, evidence.items, partial);
  }
  const reason = partial || evidence.incomplete;
  if (reason !== "") return { reason, undecided: false };
  const missing = missingFields(rule, []);
  if (missing.length > 0) return { reason: `not collected: ${missing.join(", ")}`, undecided: false };
  for (const unknown of evidence.unknown.values()) {
    const field = unknown.find((name) => rule.fields.includes(name));
    if (field !== undefined) return { reason: `${field} could not be read everywhere`, undecided: false };
  }
  return undefined;
}

/**
 * Kernel settings are read one by one, so those that were read decide the rules that ask for just them. Elsewhere, what could not be
 * read may overrule what was. Where all were read, one that is missing is at its default: a rule that doesn't test for that (null) has
 * nothing to go by.
 */
function settingGap(rule: Rule, { name }: JudgedSection, items: readonly EvidenceItem[], partial: string): Gap | undefined {
  const absent = rule.fields.filter((field) => items.some((item) => !(field in item.fields)));
  if (partial !== "" && (absent.length > 0 || name !== "kernel")) return { reason: partial, undecided: true };
  const nothing = absent.length > 0 && absent.length === rule.fields.length;
  return nothing ? { reason: `not set, and no default is known: ${absent.join(", ")}`, undecided: false } : undefined;
}

function matchesByRule(matcher: Matcher, items: readonly EvidenceItem[]): Map<Rule, EvidenceItem[]> {
  const matches = new Map<Rule, EvidenceItem[]>();
  for (const item of items) {
    for (const rule of matcher.match(item)) {
      const known = matches.get(rule);
      if (known) known.push(item);
      else matches.set(rule, [item]);
    }
  }
  return matches;
}

function insufficient(reason: string): Judged {
  return { outcome: "insufficient_evidence", reason };
}

function sourceName({ category, product, service }: Rule): string {
  return [category, product, service].filter((part) => part !== undefined && part !== "").join("/");
}
