/** Outcomes: of an assessment, one per rule and host; or what holds now on a host or for a rule. */
import { z } from "zod";
import { type Period, periodOf } from "../assessment-period";
import type { Control, ControlReader } from "../control";
import { compareKeys, listDigest, type Page, pageFrom, pageQuery, pageSchema, readCursor, type SortKey } from "../http/page";
import { notFound, Problem } from "../http/problem";
import { type Route, route } from "../http/route";
import { membersOf } from "../members";
import { assessmentOutcomes, outcomeKey } from "../outcomes";
import { lastNames } from "../queries/hosts";
import { currentOutcomes, type OutcomeRow } from "../queries/outcomes";
import type { Store } from "../queries/read";
import { type RuleRow, rulesById, rulesOf } from "../queries/rules";
import { type Outcome, outcomeKindSchema, outcomeSchema } from "../schemas/outcome";
import { instant, listOf, nameInputSchema } from "../schemas/values";

export function outcomeRoutes(store: Store, control: Control): Route[] {
  return [
    route({
      method: "get",
      path: "/api/v1/outcomes",
      operation: "listOutcomes",
      tag: "outcomes",
      summary: "Outcomes of an assessment, one per rule and host; or the current ones of hosts or rules",
      description:
        "With assessment: each rule of its packages on each of its hosts, as of its end. Else host or rule must be given: the newest outcome that was told. Sorted by host, application and rule.",
      role: "viewer",
      query: z.strictObject(outcomeQuery),
      response: pageSchema(outcomeSchema),
      problems: ["not_found"],
      handle: async ({ query }) => {
        const digest = listDigest("outcomes", query);
        const after = readCursor(query.cursor, digest, ["string", "string", "string"]);
        if (query.assessment !== undefined) {
          const period = periodWithId(control.view, query.assessment);
          return { body: await ofAssessment(store, control.view, period, query, digest, after) };
        }
        if (!query.host && !query.rule) throw new Problem("invalid_request", "give an assessment, a host or a rule");
        return { body: await current(store, query, digest, after) };
      },
    }),
  ];
}

const outcomeQuery = {
  assessment: nameInputSchema.optional(),
  host: listOf(nameInputSchema),
  rule: listOf(nameInputSchema),
  outcome: listOf(outcomeKindSchema),
  ...pageQuery,
};
type OutcomeQuery = z.infer<z.ZodObject<typeof outcomeQuery>>;

function periodWithId(control: ControlReader, id: string): Period {
  const assessment = control.latest("assessment", id);
  if (!assessment) throw notFound("assessment", id);
  return periodOf(assessment, Date.now());
}

/** Reads hosts until the page is full. */
async function ofAssessment(
  store: Store,
  control: ControlReader,
  period: Period,
  query: OutcomeQuery,
  digest: string,
  after: SortKey | undefined,
): Promise<Page<Outcome>> {
  const [members, rules] = await Promise.all([membersOf(store, control, period), rulesOf(store, period.packages)]);
  const askedMembers = members
    .filter((m) => !query.host || query.host.includes(m.host_id))
    .filter((m) => !after || m.host_id >= String(after[0]));
  const askedRules = rules.filter((rule) => !query.rule || query.rule.includes(rule.rule_id));
  const found: Outcome[] = [];
  for await (const chunk of assessmentOutcomes(store, period, askedRules, askedMembers)) {
    for (const outcome of chunk) {
      if (query.outcome && !query.outcome.includes(outcome.outcome)) continue;
      if (query.host && !query.host.includes(outcome.host_id)) continue;
      if (after && compareKeys(outcomeKey(outcome), after) <= 0) continue;
      found.push(outcome);
    }
    if (found.length > query.limit) break;
  }
  return pageFrom(found, query.limit, digest, outcomeKey, (outcome) => outcome);
}

async function current(store: Store, query: OutcomeQuery, digest: string, after: SortKey | undefined): Promise<Page<Outcome>> {
  const filters = { hosts: query.host ?? [], rules: query.rule ?? [], outcomes: query.outcome ?? [] };
  const rows = await currentOutcomes(store, filters, after, query.limit + 1);
  const rules = new Map((await rulesById(store, [...new Set(rows.map((r) => r.rule_id))])).map((rule) => [rule.rule_id, rule]));
  const names = new Map(
    (await lastNames(store, [...new Set(rows.map((r) => r.host_id))])).map((row) => [row.host_id, row.host_name]),
  );
  return pageFrom(rows, query.limit, digest, outcomeKey, (row) =>
    showOutcome(row, names.get(row.host_id), rules.get(row.rule_id)),
  );
}

function showOutcome(row: OutcomeRow, host_name: string | undefined, rule: RuleRow | undefined): Outcome {
  return {
    rule_id: row.rule_id,
    package: row.package,
    title: rule?.title ?? row.rule_id,
    severity: (rule?.severity ?? "informational") as Outcome["severity"],
    scope: (rule?.scope ?? "event") as Outcome["scope"],
    host_id: row.host_id,
    host_name: host_name ?? "",
    application_id: row.application_id,
    outcome: row.outcome as Outcome["outcome"],
    reason: row.reason,
    as_of: instant(row.as_of_ms),
    late: row.late === 1,
  };
}
