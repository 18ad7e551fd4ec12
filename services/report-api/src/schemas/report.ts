/** The report of one assessment: what the API serves and `assay assess` prints. */
import { z } from "zod";
import { applicationAnswerSchema } from "./application";
import { assessmentCoverageSchema, assessmentSchema, exclusionSchema } from "./assessment";
import { evidenceSchema, findingSchema } from "./finding";
import { outcomeSchema } from "./outcome";
import { ruleTextsSchema } from "./rule";
import { countSchema, instantSchema } from "./values";

export const reportFindingSchema = z
  .object({
    ...findingSchema.shape,
    evidence: evidenceSchema.describe("Of the period's last activity; for a state that did not change in it, the latest"),
    in_period: z
      .object({ occurrences: countSchema, first: instantSchema, last: instantSchema })
      .nullable()
      .describe("What the assessment itself saw; null for a state that was so before and did not change"),
    rule: ruleTextsSchema,
  })
  .meta({ id: "ReportFinding" });
export type ReportFinding = z.infer<typeof reportFindingSchema>;

export const reportSchema = z
  .object({
    generated_at: instantSchema,
    assessment: assessmentSchema,
    application: applicationAnswerSchema.nullable().describe("As the assessment's begin saw it"),
    coverage: assessmentCoverageSchema,
    findings: z.array(reportFindingSchema).describe("The most severe first"),
    findings_total: countSchema,
    outcomes: z.array(outcomeSchema).describe("One per rule and host, by host; first those of the application itself, if any"),
    outcomes_total: countSchema,
    exclusions: z.array(exclusionSchema),
    truncated: z.boolean().describe("findings or outcomes hold fewer than their totals: page through /findings and /outcomes"),
  })
  .meta({ id: "Report" });
export type Report = z.infer<typeof reportSchema>;
