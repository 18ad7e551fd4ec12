/** Findings: lists, counts, and one with all that is known of it. */
import { z } from "zod";
import { periodOf } from "../assessment-period";
import type { Control, ControlReader } from "../control";
import { listDigest, pageFrom, pageQuery, pageSchema, readCursor } from "../http/page";
import { notFound, Problem } from "../http/problem";
import { type Route, route } from "../http/route";
import { recentActivity } from "../queries/finding-activity";
import { aggregateFindings, countFindings } from "../queries/finding-aggregations";
import type { AssessmentScope, FindingFilters } from "../queries/finding-filters";
import { findFinding, listFindings, sortKeyOf } from "../queries/findings";
import type { Store } from "../queries/read";
import { rulesById } from "../queries/rules";
import {
  aggregationKeys,
  aggregationSchema,
  findingDetailSchema,
  findingFilters,
  findingSchema,
  findingSorts,
} from "../schemas/finding";
import { nameInputSchema } from "../schemas/values";
import { ruleTextsOf, showActivity, showEvidence, showFinding } from "../show";

export const aggregation_groups_max = 1_000;
export const activity_rows_max = 50;

export function findingRoutes(store: Store, control: Control): Route[] {
  return [
    route({
      method: "get",
      path: "/api/v1/findings",
      operation: "listFindings",
      tag: "findings",
      summary: "Findings, filtered and sorted",
      role: "viewer",
      query: z.strictObject({
        ...findingFilters,
        sort: z.enum(findingSorts).default("severity"),
        order: z.enum(["asc", "desc"]).default("desc"),
        ...pageQuery,
      }),
      response: pageSchema(findingSchema),
      problems: ["not_found"],
      handle: async ({ query }) => {
        const { limit, cursor, sort, order, assessment, ...filters } = query;
        checkRanges(filters);
        const digest = listDigest("findings", query);
        const after = readCursor(cursor, digest, ["number", "string"]);
        const scope = scopeOf(control.view, assessment);
        const rows = await listFindings(store, { filters, scope, sort, order, after, rows_max: limit + 1 });
        return { body: pageFrom(rows, limit, digest, (row) => sortKeyOf(row, sort), showFinding) };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/findings/aggregations",
      operation: "aggregateFindings",
      tag: "findings",
      summary: "Counts of the findings that fit the filters, by one of their sides",
      role: "viewer",
      query: z.strictObject({ by: z.enum(aggregationKeys), ...findingFilters }),
      response: aggregationSchema,
      problems: ["not_found"],
      handle: async ({ query: { by, assessment, ...filters } }) => {
        checkRanges(filters);
        const scope = scopeOf(control.view, assessment);
        const [rows, total] = await Promise.all([
          aggregateFindings(store, by, filters, scope, aggregation_groups_max + 1),
          countFindings(store, filters, scope),
        ]);
        return {
          body: { by, total, groups: rows.slice(0, aggregation_groups_max), truncated: rows.length > aggregation_groups_max },
        };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/findings/{id}",
      operation: "getFinding",
      tag: "findings",
      summary: "One finding, with its evidence, its rule's texts and its recent activity",
      role: "viewer",
      params: z.object({ id: nameInputSchema }),
      response: findingDetailSchema,
      problems: ["not_found"],
      handle: async ({ params: { id } }) => {
        const row = await findFinding(store, id);
        if (!row) throw notFound("finding", id);
        const [rules, activity] = await Promise.all([
          rulesById(store, [row.rule_id]),
          recentActivity(store, row, activity_rows_max),
        ]);
        return {
          body: {
            ...showFinding(row),
            evidence: showEvidence(row.evidence),
            rule: ruleTextsOf(row, rules[0]),
            activity: activity.map(showActivity),
          },
        };
      },
    }),
  ];
}

function scopeOf(control: ControlReader, id: string | undefined): AssessmentScope | undefined {
  if (id === undefined) return undefined;
  const assessment = control.latest("assessment", id);
  if (!assessment) throw notFound("assessment", id);
  return periodOf(assessment, Date.now());
}

function checkRanges(filters: FindingFilters): void {
  for (const name of ["first_seen", "last_seen"] as const) {
    const from = filters[`${name}_from`];
    const to = filters[`${name}_to`];
    if (from === undefined || to === undefined || from < to) continue;
    const detail = `${new Date(from).toISOString()} is not before ${name}_to, ${new Date(to).toISOString()}`;
    throw new Problem("invalid_request", `${name}_from ${detail}`, [{ in: "query", name: `${name}_from`, detail }]);
  }
}
