/** Applications: what is assessed. */
import { z } from "zod";
import type { Control } from "../control";
import { listDigest, pageOf, pageQuery, pageSchema } from "../http/page";
import { notFound } from "../http/problem";
import { type Route, route } from "../http/route";
import { applicationAnswerSchema, applicationInputSchema, entityParams } from "../schemas/application";
import { showApplication } from "../show";
import { change, changeProblems, expectedVersion, versionTag } from "./change";

export function applicationRoutes(control: Control): Route[] {
  const { view } = control;
  return [
    route({
      method: "get",
      path: "/api/v1/applications",
      operation: "listApplications",
      tag: "applications",
      summary: "Applications, by id",
      role: "viewer",
      query: z.strictObject(pageQuery),
      response: pageSchema(applicationAnswerSchema),
      handle: async ({ query }) => {
        const digest = listDigest("applications", query);
        return { body: pageOf(view.all("application"), query, digest, ({ id }) => [id], ["string"], showApplication) };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/applications/{id}",
      operation: "getApplication",
      tag: "applications",
      summary: "One application, with its version as ETag",
      role: "viewer",
      params: entityParams,
      response: applicationAnswerSchema,
      problems: ["not_found"],
      handle: async ({ params }) => {
        const application = view.latest("application", params.id);
        if (!application) throw notFound("application", params.id);
        return { body: showApplication(application), headers: versionTag(application.version) };
      },
    }),
    route({
      method: "put",
      path: "/api/v1/applications/{id}",
      operation: "putApplication",
      tag: "applications",
      summary: "Creates or changes an application",
      description: "Answers once the coordinator has accepted. Windows see the change from effective_from on.",
      role: "operator",
      params: entityParams,
      body: applicationInputSchema,
      if_match: true,
      response: applicationAnswerSchema,
      statuses: [200, 201],
      problems: [...changeProblems, "version_required"],
      handle: async ({ params: { id }, body: { expected_version: in_body, ...application }, if_match, caller }) => {
        const expected_version = expectedVersion(if_match, in_body);
        const body = { type: "put_application", id, expected_version, application } as const;
        const changed = await change(control, "application", id, body, caller);
        const status = expected_version === 0 ? 201 : 200;
        return { status, body: showApplication(changed), headers: versionTag(changed.version) };
      },
    }),
  ];
}
