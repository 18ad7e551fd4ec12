/** Hosts in answers. */
import { z } from "zod";
import { countSchema, countsSchema, instantSchema } from "./values";

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    os: z
      .object({
        id: z.string(),
        version_id: z.string(),
        pretty_name: z.string(),
        kernel_release: z.string(),
        architecture: z.string(),
      })
      .partial()
      .nullable()
      .describe("Null where its inventory has not been received"),
    agent_version: z.string(),
    enrolled_at: instantSchema.nullable(),
    tags: z.record(z.string(), z.string()).describe("Operators' tags, and the agent's under agent:"),
    applications: z.array(z.string()),
    last_seen: instantSchema.nullable().describe("End of its last window"),
    health: z.enum(["active", "silent"]).describe("silent: nothing that closed a window came for longer than the setting"),
    coverage: z.object({
      from: instantSchema,
      to: instantSchema,
      windows: countSchema,
      covered_share: z.number().min(0).max(1).describe("Of the range since the host was first seen in it"),
      late_parts: countSchema,
      events: countsSchema,
      dropped: countsSchema.describe("By kind"),
      drop_reasons: countsSchema,
    }),
    collectors: z.array(z.object({ name: z.string(), status: z.string(), reason: z.string() })).describe("In its last window"),
    inventory: z.array(
      z.object({
        section: z.string(),
        status: z.enum(["collected", "partial", "absent", "unreadable"]),
        reason: z.string(),
        collected_at: instantSchema,
        age_ms: countSchema,
      }),
    ),
  })
  .meta({ id: "Host" });
export type Host = z.infer<typeof hostSchema>;
