/** Rules for tests, written as the detection alone. */
import { loadPackages } from "@assay/rules/load";
import type { FieldValue } from "@assay/rules/rule";
import type { RuleSet } from "@assay/rules/rule-set";

export function ruleText(detection: string, rest = "logsource: { category: process_creation, product: linux }"): string {
  const indented = detection
    .trim()
    .split("\n")
    .map((line) => `  ${line}`);
  return ["title: a test", rest, "detection:", ...indented].join("\n");
}

export function packageOf(...texts: string[]) {
  const files = texts.map((text, i) => ({ path: `r${i}.yml`, text }));
  return { name: "tests", version: "1", digest: "0".repeat(64), files };
}

export function loaded(...texts: string[]): RuleSet {
  const result = loadPackages([packageOf(...texts)]);
  if ("problems" in result) throw new Error(result.problems.map((p) => `${p.line}:${p.column} ${p.message}`).join("\n"));
  return result.ruleset;
}

/** The messages, each with its line, of what is wrong with a rule. */
export function problemsOf(text: string): string[] {
  const result = loadPackages([packageOf(text)]);
  return "problems" in result ? result.problems.map((p) => `${p.line}: ${p.message}`) : [];
}

export type Fields = Readonly<Record<string, FieldValue>>;

/** Whether the detection matches the fields. */
export function matches(detection: string, fields: Fields): boolean {
  return loaded(ruleText(detection)).match({ category: "process_creation", product: "linux", fields }).length > 0;
}

/** The same for a map of one selection. */
export function selects(selection: string, fields: Fields): boolean {
  const indented = selection.trim().replace(/^/gm, "  ");
  return matches(`selection:\n${indented}\ncondition: selection`, fields);
}
