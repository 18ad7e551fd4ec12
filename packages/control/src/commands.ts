/** What may be asked of the coordinator, as JSON bodies of Command. expected_version 0: the entity must not exist yet. */
import { z } from "zod";
import { agentSchema, applicationSchema, hostSchema, idSchema, keySchema, packageSchema, templateSchema } from "./entities";

const expected = { expected_version: z.number().int().min(0) };

export const commandSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("put_application"), id: idSchema, ...expected, application: applicationSchema }),
  z.strictObject({ type: z.literal("put_host_tags"), id: z.string().min(1).max(128), ...expected, host: hostSchema }),
  z.strictObject({ type: z.literal("put_template"), id: idSchema, ...expected, template: templateSchema }),
  /** Starts an assessment of the template at the next allowed window edge. The id is the asker's, so that asking twice starts one. */
  z.strictObject({ type: z.literal("start_assessment"), id: idSchema, template_id: idSchema }),
  /** Ends it at the next window edge; evaluate: with results, else cancelled. */
  z.strictObject({ type: z.literal("stop_assessment"), id: idSchema, evaluate: z.boolean() }),
  /** Makes this content the active version of the package, from a window edge on. Repeating the active digest is accepted and changes nothing. */
  z.strictObject({ type: z.literal("activate_package"), package: packageSchema }),
  /** Enrols a host's agent, or gives it a new credential. */
  z.strictObject({ type: z.literal("enrol_agent"), agent: agentSchema }),
  z.strictObject({ type: z.literal("put_key"), id: idSchema, ...expected, key: keySchema }),
]);
export type CommandBody = z.infer<typeof commandSchema>;
