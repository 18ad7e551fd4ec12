/** Assessments: runs of templates; their summaries and reports; starting and stopping them. */
import { randomBytes } from "node:crypto";
import { assessmentStates } from "@assay/control/entities";
import { z } from "zod";
import { periodOf } from "../assessment-period";
import { coverageOf, exclusionsOf, findingsBySeverity } from "../assessment-summary";
import type { Control } from "../control";
import { listDigest, pageOf, pageQuery, pageSchema } from "../http/page";
import { notFound } from "../http/problem";
import { type Route, route } from "../http/route";
import { membersOf } from "../members";
import { assessmentOutcomes } from "../outcomes";
import type { Store } from "../queries/read";
import { rulesOf } from "../queries/rules";
import { assessmentReport } from "../report";
import { entityParams } from "../schemas/application";
import { assessmentDetailSchema, assessmentSchema, startInputSchema, stopInputSchema } from "../schemas/assessment";
import { noOutcomes, type Outcome, type OutcomeCounts } from "../schemas/outcome";
import { reportSchema } from "../schemas/report";
import { listOf, nameInputSchema } from "../schemas/values";
import { showAssessment } from "../show";
import { change, changeProblems } from "./change";

export function assessmentRoutes(store: Store, control: Control): Route[] {
  const { view } = control;
  return [
    route({
      method: "get",
      path: "/api/v1/assessments",
      operation: "listAssessments",
      tag: "assessments",
      summary: "Assessments, those that began last first",
      role: "viewer",
      query: z.strictObject({ application: listOf(nameInputSchema), state: listOf(z.enum(assessmentStates)), ...pageQuery }),
      response: pageSchema(assessmentSchema),
      handle: async ({ query }) => {
        const fitting = view
          .all("assessment")
          .filter(({ value }) => !query.application || query.application.includes(value.application_id))
          .filter(({ value }) => !query.state || query.state.includes(value.state));
        const digest = listDigest("assessments", query);
        const keyOf = (a: (typeof fitting)[number]) => [-a.value.begins_at, a.id];
        return { body: pageOf(fitting, query, digest, keyOf, ["number", "string"], showAssessment) };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/assessments/{id}",
      operation: "getAssessment",
      tag: "assessments",
      summary: "One assessment: state, history, and a summary that is computed live",
      role: "viewer",
      params: entityParams,
      response: assessmentDetailSchema,
      problems: ["not_found"],
      handle: async ({ params }) => {
        const assessment = view.latest("assessment", params.id);
        if (!assessment) throw notFound("assessment", params.id);
        const period = periodOf(assessment, Date.now());
        const [members, rules, findings] = await Promise.all([
          membersOf(store, view, period),
          rulesOf(store, period.packages),
          findingsBySeverity(store, {}, period),
        ]);
        const outcomes = await countOutcomes(assessmentOutcomes(store, period, rules, members));
        const exclusions = exclusionsOf(assessment.value, members);
        const summary = { findings, outcomes, coverage: coverageOf(period, members) };
        return { body: { ...showAssessment(assessment), exclusions, summary } };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/assessments/{id}/report",
      operation: "getAssessmentReport",
      tag: "assessments",
      summary: "The whole report: findings with evidence and rules' texts, outcomes, coverage, exclusions",
      role: "viewer",
      params: entityParams,
      response: reportSchema,
      problems: ["not_found"],
      handle: async ({ params }) => ({ body: await assessmentReport(store, view, params.id) }),
    }),
    route({
      method: "post",
      path: "/api/v1/assessments",
      operation: "startAssessment",
      tag: "assessments",
      summary: "Starts an assessment of a template, at the next window edge that allows it",
      role: "operator",
      body: startInputSchema,
      response: assessmentSchema,
      statuses: [201],
      problems: changeProblems,
      handle: async ({ body: { id: given, template_id }, caller }) => {
        const id = given ?? newId(template_id, new Date());
        const started = await change(control, "assessment", id, { type: "start_assessment", id, template_id }, caller);
        return { status: 201, body: showAssessment(started), headers: { location: `/api/v1/assessments/${id}` } };
      },
    }),
    route({
      method: "post",
      path: "/api/v1/assessments/{id}/stop",
      operation: "stopAssessment",
      tag: "assessments",
      summary: "Ends an assessment at the next window edge, with results or without",
      role: "operator",
      params: entityParams,
      body: stopInputSchema,
      response: assessmentSchema,
      statuses: [202],
      problems: changeProblems,
      handle: async ({ params: { id }, body: { evaluate }, caller }) => {
        const stopped = await change(control, "assessment", id, { type: "stop_assessment", id, evaluate }, caller);
        return { status: 202, body: showAssessment(stopped) };
      },
    }),
  ];
}

const id_length_max = 63;

/** Readable and unique: <template>-<time>-<random>. */
function newId(template_id: string, at: Date): string {
  const time = at.toISOString().slice(0, 19).replace(/[-:]/g, "").toLowerCase();
  const tail = `-${time}-${randomBytes(3).toString("hex")}`;
  return template_id.slice(0, id_length_max - tail.length) + tail;
}

async function countOutcomes(chunks: AsyncIterable<readonly Outcome[]>): Promise<OutcomeCounts> {
  const counts = noOutcomes();
  for await (const chunk of chunks) for (const { outcome } of chunk) counts[outcome]++;
  return counts;
}
