/** Applications and templates: as control holds them, with their versions. */
import { applicationSchema, durationSchema, idSchema, selectorSchema, templateSchema } from "@assay/control/entities";
import { z } from "zod";
import { countSchema, instantSchema } from "./values";

selectorSchema.register(z.globalRegistry, {
  id: "Selector",
  description: "Which hosts, by their tags. { all: [] } selects every host",
});

const versionFields = {
  id: z.string(),
  version: countSchema.describe("Give it back as If-Match or expected_version to change this"),
  effective_from: instantSchema.describe("Event time from which windows see this version"),
};

export const expectedVersionField = {
  expected_version: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe("The version that you saw, 0 to create. May be given as If-Match instead"),
};

export const applicationInputSchema = z
  .strictObject({ ...applicationSchema.shape, ...expectedVersionField })
  .meta({ id: "ApplicationInput" });

export const applicationAnswerSchema = z
  .object({
    ...versionFields,
    name: z.string(),
    selector: selectorSchema,
    tiers: z.array(z.object({ name: z.string(), selector: selectorSchema })),
  })
  .meta({ id: "Application" });
export type ApplicationAnswer = z.infer<typeof applicationAnswerSchema>;

export const templateInputSchema = z
  .strictObject({ ...templateSchema.shape, ...expectedVersionField })
  .meta({ id: "TemplateInput" });

export const templateAnswerSchema = z
  .object({
    ...versionFields,
    name: z.string(),
    application_id: z.string(),
    packages: z.array(z.string()).describe("Empty: every active package"),
    duration_ms: durationSchema,
  })
  .meta({ id: "Template" });
export type TemplateAnswer = z.infer<typeof templateAnswerSchema>;

export const entityParams = z.object({ id: idSchema });
