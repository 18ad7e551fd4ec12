/**
 * The entities whose versions stand on assay.control, as JSON bodies of ControlRecord. The coordinator alone writes them;
 * everybody reads them by following the topic (follow.ts).
 */
import { z } from "zod";

/** Ids that people choose: applications, templates, packages. */
export const idSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "lower-case letters, digits, . _ -; at most 63");

export type Selector =
  | { all: Selector[] }
  | { any: Selector[] }
  | { not: Selector }
  | { tag: string; in: string[] }
  | { tag: string; exists: boolean };

/** { all: [] } selects every host. `tag` is an operator's tag, `host` (the host id), `name`, or an agent's under agent:. */
export const selectorSchema: z.ZodType<Selector> = z.lazy(() =>
  z.union([
    z.strictObject({ all: z.array(selectorSchema).max(64) }),
    z.strictObject({ any: z.array(selectorSchema).max(64) }),
    z.strictObject({ not: selectorSchema }),
    z.strictObject({ tag: z.string().min(1).max(128), in: z.array(z.string().max(256)).min(1).max(1000) }),
    z.strictObject({ tag: z.string().min(1).max(128), exists: z.boolean() }),
  ]),
);

export const applicationSchema = z.strictObject({
  name: z.string().min(1).max(200),
  selector: selectorSchema,
  tiers: z
    .array(z.strictObject({ name: idSchema, selector: selectorSchema }))
    .max(32)
    .default([]),
});
export type Application = z.infer<typeof applicationSchema>;

/** Tags that operators set on a host. */
export const hostSchema = z.strictObject({ tags: z.record(z.string().min(1).max(128), z.string().max(256)) });
export type HostTags = z.infer<typeof hostSchema>;

/** Any duration from 1 m, or continuous. */
export const durationSchema = z.union([
  z.literal("continuous"),
  z
    .number()
    .int()
    .min(60_000)
    .max(31 * 86_400_000),
]);

export const templateSchema = z.strictObject({
  name: z.string().min(1).max(200),
  application_id: idSchema,
  /** Empty: every active package. */
  packages: z.array(idSchema).max(64),
  duration_ms: durationSchema,
});
export type Template = z.infer<typeof templateSchema>;

export const assessmentStates = [
  "scheduled",
  "pending",
  "collecting",
  "collected",
  "evaluating",
  "completed",
  "completed_with_errors",
  "cancelled",
  "failed",
] as const;
export type AssessmentState = (typeof assessmentStates)[number];

export const assessmentSchema = z.strictObject({
  template_id: idSchema,
  application_id: idSchema,
  packages: z.array(idSchema),
  state: z.enum(assessmentStates),
  /** Window edges; ends_at is null for a continuous one that goes on. */
  begins_at: z.number().int(),
  ends_at: z.number().int().nullable(),
  history: z.array(z.strictObject({ state: z.enum(assessmentStates), at: z.number().int(), reason: z.string() })),
  /** Hosts that could not be assessed, and why; filled at the end. */
  exclusions: z.array(z.strictObject({ host_id: z.string(), reason: z.string(), detail: z.string() })),
});
export type Assessment = z.infer<typeof assessmentSchema>;

/** A rule package with its files: content-addressed, so that a replay can evaluate with the very rules it had. */
export const packageSchema = z.strictObject({
  name: idSchema,
  version: z.string().max(64),
  /** SHA-256, hex, over the sorted paths and texts. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  files: z.array(z.strictObject({ path: z.string().max(512), text: z.string() })),
});
export type RulePackage = z.infer<typeof packageSchema>;

export const agentSchema = z.strictObject({
  host_id: z.string().min(1).max(128),
  host_name: z.string().max(255),
  /** SHA-256, hex, of the credential. */
  credential_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  enrolled_at: z.number().int(),
});
export type Agent = z.infer<typeof agentSchema>;

export const keySchema = z.strictObject({
  name: z.string().min(1).max(100),
  role: z.enum(["viewer", "operator", "admin"]),
  /** SHA-256, hex, of the key. */
  key_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  revoked: z.boolean().default(false),
});
export type ApiKey = z.infer<typeof keySchema>;

export const answerSchema = z.discriminatedUnion("result", [
  z.strictObject({ result: z.literal("accepted"), kind: z.string(), id: z.string(), version: z.number().int() }),
  z.strictObject({
    result: z.literal("rejected"),
    reason: z.enum(["invalid", "not_found", "version_conflict", "not_allowed_in_state"]),
    detail: z.string(),
  }),
]);
export type Answer = z.infer<typeof answerSchema>;

export interface EntityTypes {
  application: Application;
  host: HostTags;
  template: Template;
  assessment: Assessment;
  package: RulePackage;
  agent: Agent;
  key: ApiKey;
}
export type EntityKind = keyof EntityTypes;
export const entitySchemas: { readonly [K in EntityKind]: z.ZodType<EntityTypes[K]> } = {
  application: applicationSchema,
  host: hostSchema,
  template: templateSchema,
  assessment: assessmentSchema,
  package: packageSchema,
  agent: agentSchema,
  key: keySchema,
};
