/** Findings in answers, and the filters that lists and aggregations share. */
import { z } from "zod";
import { ruleTextsSchema, severitySchema } from "./rule";
import { countSchema, flagInputSchema, instantInputSchema, instantSchema, listOf, nameInputSchema } from "./values";

export const findingStatuses = ["active", "inactive", "resolved", "closed"] as const;
export type FindingStatus = (typeof findingStatuses)[number];
export const findingStatusSchema = z.enum(findingStatuses);

export const findingSchema = z
  .object({
    id: z.string(),
    rule_id: z.string(),
    package: z.string(),
    category: z.string(),
    severity: severitySchema,
    title: z.string(),
    host_id: z.string().describe("Empty for a finding on an application"),
    host_name: z.string(),
    application_id: z.string().describe("Set for a finding on an application"),
    applications: z.array(z.string()).describe("Applications of the host when last seen"),
    identity: z.record(z.string(), z.string()).describe("What tells it from the rule's other findings on the resource"),
    status: findingStatusSchema,
    status_reason: z.string(),
    first_seen: instantSchema,
    last_seen: instantSchema,
    resolved_at: instantSchema.nullable(),
    occurrences: countSchema,
    late: z.boolean().describe("Brought by telemetry that arrived after its window had closed"),
  })
  .meta({ id: "Finding" });
export type Finding = z.infer<typeof findingSchema>;

export const evidenceSchema = z.unknown().describe("JSON: what the rule matched");

export const activitySchema = z
  .object({
    at: instantSchema.describe("Start of the window, or the time as of which the state was seen"),
    until: instantSchema,
    first: instantSchema,
    last: instantSchema,
    occurrences: countSchema,
    late: z.boolean(),
    evidence: evidenceSchema,
  })
  .meta({ id: "Activity" });
export type Activity = z.infer<typeof activitySchema>;

export const findingDetailSchema = z
  .object({
    ...findingSchema.shape,
    evidence: evidenceSchema,
    rule: ruleTextsSchema,
    activity: z.array(activitySchema).describe("Of the last 30 days in which it was seen, the newest first"),
  })
  .meta({ id: "FindingDetail" });
export type FindingDetail = z.infer<typeof findingDetailSchema>;

export const text_length_max = 200;

export const findingFilters = {
  severity: listOf(severitySchema),
  rule: listOf(nameInputSchema),
  package: listOf(nameInputSchema),
  host: listOf(nameInputSchema),
  application: listOf(nameInputSchema).describe("Findings on these applications, or on their hosts"),
  status: listOf(findingStatusSchema),
  first_seen_from: instantInputSchema.optional(),
  first_seen_to: instantInputSchema.optional().describe("Exclusive"),
  last_seen_from: instantInputSchema.optional(),
  last_seen_to: instantInputSchema.optional().describe("Exclusive"),
  late: flagInputSchema.optional(),
  text: z.string().min(1).max(text_length_max).optional().describe("Part of the title, in any case of letters"),
  assessment: nameInputSchema
    .optional()
    .describe("Findings that this assessment saw in its period, and states that were so at its end"),
};

export const findingSorts = ["severity", "first_seen", "last_seen", "occurrences"] as const;
export type FindingSort = (typeof findingSorts)[number];
export const aggregationKeys = ["severity", "rule", "package", "host", "application"] as const;
export type AggregationKey = (typeof aggregationKeys)[number];

export const aggregationSchema = z
  .object({
    by: z.enum(aggregationKeys),
    total: countSchema.describe("Findings that fit the filters"),
    groups: z.array(
      z.object({
        key: z.string(),
        label: z.string().describe("A title or a name for people"),
        findings: countSchema.describe("A finding counts in each of its host's applications"),
        occurrences: countSchema,
      }),
    ),
    truncated: z.boolean().describe("There are more groups, with fewer findings"),
  })
  .meta({ id: "FindingAggregation" });
