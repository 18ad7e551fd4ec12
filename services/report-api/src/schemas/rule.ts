/** Rules in answers. */
import { severities } from "@assay/rules/rule";
import { z } from "zod";

export const severitySchema = z.enum(severities);
export const scopes = ["event", "state", "assessment"] as const;

export const ruleTextsSchema = z
  .object({
    id: z.string(),
    package: z.string(),
    title: z.string(),
    description: z.string(),
    remediation: z.string(),
    references: z.array(z.string()),
    controls: z.record(z.string(), z.array(z.string())).describe("Control ids by framework"),
    author: z.string(),
  })
  .meta({ id: "RuleTexts" });
export type RuleTexts = z.infer<typeof ruleTextsSchema>;

export const ruleSchema = z
  .object({
    ...ruleTextsSchema.shape,
    severity: severitySchema,
    category: z.string(),
    scope: z.enum(scopes).describe("event: something happened; state: something is so; assessment: needs the whole period"),
    tags: z.array(z.string()),
    platforms: z.array(z.string()),
    ruleset: z.string().describe("Digest of the rule set in force"),
  })
  .meta({ id: "Rule" });
export type Rule = z.infer<typeof ruleSchema>;
