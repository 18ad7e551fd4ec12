/** Outcomes in answers. */
import type { Outcome as OutcomeKind } from "@assay/rules/rule";
import { z } from "zod";
import { scopes, severitySchema } from "./rule";
import { countSchema, instantSchema } from "./values";

export const outcomeKinds = [
  "match",
  "clear",
  "not_applicable",
  "insufficient_evidence",
  "error",
] as const satisfies readonly OutcomeKind[];
export const outcomeKindSchema = z.enum(outcomeKinds);

export const outcomeSchema = z
  .object({
    rule_id: z.string(),
    package: z.string(),
    title: z.string(),
    severity: severitySchema,
    scope: z.enum(scopes),
    host_id: z.string().describe("Empty where it is of the application itself: flows from outside"),
    host_name: z.string(),
    application_id: z.string().describe("Set for rules over flows, which are asked within an application"),
    outcome: outcomeKindSchema,
    reason: z.string(),
    as_of: instantSchema.nullable().describe("Null where nothing was received"),
    late: z.boolean(),
  })
  .meta({ id: "Outcome" });
export type Outcome = z.infer<typeof outcomeSchema>;

export const outcomeCountsSchema = z.object({
  match: countSchema,
  clear: countSchema,
  not_applicable: countSchema,
  insufficient_evidence: countSchema,
  error: countSchema,
});
export type OutcomeCounts = z.infer<typeof outcomeCountsSchema>;

export function noOutcomes(): OutcomeCounts {
  return { match: 0, clear: 0, not_applicable: 0, insufficient_evidence: 0, error: 0 };
}
