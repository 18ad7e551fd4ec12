/** Every case of every rule that Assay brings, by the real engine; and what each rule must have besides. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadPackages } from "@assay/rules/load";
import { formatProblem } from "@assay/rules/problem";
import { readPackages } from "@assay/rules/read-packages";
import { judgeCase } from "@assay/rules/rule-case";
import type { RuleSet } from "@assay/rules/rule-set";

const directory = join(__dirname, "../../../rules");

let ruleset: RuleSet;
beforeAll(async () => {
  const result = loadPackages(await readPackages(directory));
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  ruleset = result.ruleset;
});

test("every case comes out as its rule says", () => {
  const wrong = ruleset.rules.flatMap((rule) =>
    ruleset.casesOf(rule.id).flatMap((c) => {
      const judged = judgeCase(ruleset, rule, c);
      return judged.outcome === c.expect
        ? []
        : [`${rule.source} (${c.name}): ${judged.outcome} ${judged.reason}, not ${c.expect}`];
    }),
  );
  expect(wrong).toEqual([]);
});

test("every rule over settings shows when it isn't applicable", () => {
  const lacking = ruleset.rules.filter(
    (rule) => rule.category === "setting" && !ruleset.casesOf(rule.id).some((c) => c.expect === "not_applicable"),
  );
  expect(lacking.map((rule) => rule.source)).toEqual([]);
});

test("every rule says what serves PCI DSS and the CIS controls", () => {
  for (const rule of ruleset.rules) {
    expect(Object.keys(rule.controls)).toEqual(["pci-dss-4.0", "cis-controls-8"]);
    expect(Object.values(rule.controls).every((ids) => ids.length > 0)).toBe(true);
  }
});

test("titles are different, and references are addresses", () => {
  expect(new Set(ruleset.rules.map((rule) => rule.title)).size).toBe(ruleset.rules.length);
  for (const rule of ruleset.rules) {
    expect(rule.references.filter((reference) => !/^https:\/\/[^\s]+$/.test(reference))).toEqual([]);
  }
});

test("packages are those that are meant to be", () => {
  expect(ruleset.packages.map((p) => p.name)).toEqual([
    "application-security",
    "authentication",
    "network-security",
    "operating-system",
    "threat-detection",
  ]);
  expect(ruleset.packages.every((p) => p.description !== "" && /^\d+\.\d+\.\d+$/.test(p.version))).toBe(true);
});

test("ids never change: each is the one that was given first", () => {
  const golden = join(__dirname, "golden/rule-ids.txt");
  const ids = ruleset.rules.map((rule) => `${rule.id} ${rule.source.replace(/:\d+$/, "")}`).sort();
  expect(`${ids.join("\n")}\n`).toBe(readFileSync(golden, "utf8"));
});
