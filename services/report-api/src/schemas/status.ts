/** Totals of the whole installation. */
import { z } from "zod";
import { findingsBySeveritySchema } from "./assessment";
import { countSchema, instantSchema } from "./values";

export const statusSchema = z
  .object({
    at: instantSchema,
    hosts: z.object({
      enrolled: countSchema,
      observed: countSchema.describe("That ever closed a window"),
      active: countSchema.describe("That closed one lately"),
    }),
    telemetry: z.object({ events: countSchema.describe("In closed windows"), dropped: countSchema }),
    windows: z.object({ closed: countSchema, late_parts: countSchema, last_closed: instantSchema.nullable() }),
    findings: z.object({ active: findingsBySeveritySchema }),
    assessments: z.object({ running: countSchema }),
  })
  .meta({ id: "Status" });
export type Status = z.infer<typeof statusSchema>;
