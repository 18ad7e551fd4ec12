/** Assessment templates: an application, rule packages and a duration. */
import { z } from "zod";
import type { Control } from "../control";
import { listDigest, pageOf, pageQuery, pageSchema } from "../http/page";
import { notFound } from "../http/problem";
import { type Route, route } from "../http/route";
import { entityParams, templateAnswerSchema, templateInputSchema } from "../schemas/application";
import { showTemplate } from "../show";
import { change, changeProblems, expectedVersion, versionTag } from "./change";

export function templateRoutes(control: Control): Route[] {
  const { view } = control;
  return [
    route({
      method: "get",
      path: "/api/v1/templates",
      operation: "listTemplates",
      tag: "templates",
      summary: "Templates, by id",
      role: "viewer",
      query: z.strictObject(pageQuery),
      response: pageSchema(templateAnswerSchema),
      handle: async ({ query }) => {
        const digest = listDigest("templates", query);
        return { body: pageOf(view.all("template"), query, digest, ({ id }) => [id], ["string"], showTemplate) };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/templates/{id}",
      operation: "getTemplate",
      tag: "templates",
      summary: "One template, with its version as ETag",
      role: "viewer",
      params: entityParams,
      response: templateAnswerSchema,
      problems: ["not_found"],
      handle: async ({ params }) => {
        const template = view.latest("template", params.id);
        if (!template) throw notFound("template", params.id);
        return { body: showTemplate(template), headers: versionTag(template.version) };
      },
    }),
    route({
      method: "put",
      path: "/api/v1/templates/{id}",
      operation: "putTemplate",
      tag: "templates",
      summary: "Creates or changes a template",
      description: "Answers once the coordinator has accepted. Assessments that started before keep what they began with.",
      role: "operator",
      params: entityParams,
      body: templateInputSchema,
      if_match: true,
      response: templateAnswerSchema,
      statuses: [200, 201],
      problems: [...changeProblems, "version_required"],
      handle: async ({ params: { id }, body: { expected_version: in_body, ...template }, if_match, caller }) => {
        const expected_version = expectedVersion(if_match, in_body);
        const body = { type: "put_template", id, expected_version, template } as const;
        const changed = await change(control, "template", id, body, caller);
        const status = expected_version === 0 ? 201 : 200;
        return { status, body: showTemplate(changed), headers: versionTag(changed.version) };
      },
    }),
  ];
}
