/** Rules in force. */
import { z } from "zod";
import { listDigest, pageOf, pageQuery, pageSchema } from "../http/page";
import { notFound } from "../http/problem";
import { type Route, route } from "../http/route";
import type { Store } from "../queries/read";
import { rulesById, rulesOf } from "../queries/rules";
import { ruleSchema, severitySchema } from "../schemas/rule";
import { listOf, nameInputSchema } from "../schemas/values";
import { showRule } from "../show";

export function ruleRoutes(store: Store): Route[] {
  return [
    route({
      method: "get",
      path: "/api/v1/rules",
      operation: "listRules",
      tag: "rules",
      summary: "Rules of the active packages, by id",
      role: "viewer",
      query: z.strictObject({ package: listOf(nameInputSchema), severity: listOf(severitySchema), ...pageQuery }),
      response: pageSchema(ruleSchema),
      handle: async ({ query }) => {
        const severities: readonly string[] | undefined = query.severity;
        const rules = (await rulesOf(store, query.package ?? [])).filter((r) => !severities || severities.includes(r.severity));
        return { body: pageOf(rules, query, listDigest("rules", query), (r) => [r.rule_id], ["string"], showRule) };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/rules/{id}",
      operation: "getRule",
      tag: "rules",
      summary: "One rule; also one that is no longer in force but has findings",
      role: "viewer",
      params: z.object({ id: nameInputSchema }),
      response: ruleSchema,
      problems: ["not_found"],
      handle: async ({ params: { id } }) => {
        const [rule] = await rulesById(store, [id]);
        if (!rule) throw notFound("rule", id);
        return { body: showRule(rule) };
      },
    }),
  ];
}
