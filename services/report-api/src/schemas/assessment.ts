/** Assessments in answers. */
import { assessmentStates, idSchema } from "@assay/control/entities";
import { z } from "zod";
import { outcomeCountsSchema } from "./outcome";
import { countSchema, countsSchema, instantSchema } from "./values";

export const exclusionSchema = z
  .object({ host_id: z.string(), reason: z.string(), detail: z.string() })
  .meta({ id: "Exclusion", description: "A gap in coverage: a host that could not be assessed, and why" });
export type Exclusion = z.infer<typeof exclusionSchema>;

export const assessmentSchema = z
  .object({
    id: z.string(),
    version: countSchema,
    template_id: z.string(),
    application_id: z.string(),
    packages: z.array(z.string()).describe("Empty: every active package"),
    state: z.enum(assessmentStates),
    begins_at: instantSchema,
    ends_at: instantSchema.nullable().describe("A window edge; null while a continuous one goes on"),
    history: z.array(z.object({ state: z.enum(assessmentStates), at: instantSchema, reason: z.string() })),
  })
  .meta({ id: "Assessment" });
export type AssessmentAnswer = z.infer<typeof assessmentSchema>;

export const findingsBySeveritySchema = z.object({
  critical: countSchema,
  high: countSchema,
  medium: countSchema,
  low: countSchema,
  informational: countSchema,
});
export type FindingsBySeverity = z.infer<typeof findingsBySeveritySchema>;

export const assessmentCoverageSchema = z
  .object({
    begins_at: instantSchema,
    through: instantSchema.describe("Windows up to this time count: the end, or what has been evaluated so far"),
    hosts: countSchema.describe("Hosts that the application covers"),
    hosts_observed: countSchema.describe("Hosts with at least one window"),
    windows: countSchema,
    covered_share: z.number().min(0).max(1).describe("Of the hosts' time in the period, how much their agents watched"),
    late_parts: countSchema,
    events: countsSchema.describe("Telemetry by kind"),
    dropped: countsSchema.describe("Telemetry that agents had to drop, by kind"),
  })
  .meta({ id: "AssessmentCoverage" });
export type AssessmentCoverage = z.infer<typeof assessmentCoverageSchema>;

export const assessmentDetailSchema = z
  .object({
    ...assessmentSchema.shape,
    exclusions: z.array(exclusionSchema),
    summary: z.object({
      findings: findingsBySeveritySchema,
      outcomes: outcomeCountsSchema.describe("One per rule and host"),
      coverage: assessmentCoverageSchema,
    }),
  })
  .meta({ id: "AssessmentDetail" });
export type AssessmentDetail = z.infer<typeof assessmentDetailSchema>;

export const startInputSchema = z
  .strictObject({
    id: idSchema.optional().describe("Yours, so that asking twice starts one; made up where left out"),
    template_id: idSchema,
  })
  .meta({ id: "AssessmentStart" });

export const stopInputSchema = z
  .strictObject({ evaluate: z.boolean().describe("true: end early, with results. false: cancel") })
  .meta({ id: "AssessmentStop" });
