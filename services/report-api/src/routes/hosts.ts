/** Hosts: what is known of each, and how well it is covered. */
import { z } from "zod";
import type { Control } from "../control";
import { describeHosts, type HostQuestion } from "../describe-hosts";
import { listDigest, pageFrom, pageQuery, pageSchema, readCursor } from "../http/page";
import { notFound, Problem } from "../http/problem";
import { type Route, route } from "../http/route";
import { observedHostIds } from "../queries/hosts";
import type { Store } from "../queries/read";
import { hostSchema } from "../schemas/host";
import { instantInputSchema, nameInputSchema } from "../schemas/values";

export const range_ms_default = 24 * 3_600_000;
export const range_ms_max = 31 * 86_400_000;

const rangeQuery = {
  from: instantInputSchema.optional().describe("Begin of the range of coverage; 24 h before its end where left out"),
  to: instantInputSchema.optional().describe("Exclusive end of the range of coverage; now where left out"),
};

export function hostRoutes(store: Store, control: Control, silent_after_ms: number): Route[] {
  return [
    route({
      method: "get",
      path: "/api/v1/hosts",
      operation: "listHosts",
      tag: "hosts",
      summary: "Hosts by id: enrolled ones and all that ever told something",
      role: "viewer",
      query: z.strictObject({ ...rangeQuery, ...pageQuery }),
      response: pageSchema(hostSchema),
      handle: async ({ query }) => {
        const digest = listDigest("hosts", query);
        const after = String(readCursor(query.cursor, digest, ["string"])?.[0] ?? "");
        const question = questionOf(query, silent_after_ms);
        const ids = await hostIds(store, control, after, query.limit + 1);
        const hosts = await describeHosts(store, control.view, ids.slice(0, query.limit), question);
        const page = pageFrom(
          ids,
          query.limit,
          digest,
          (id) => [id],
          (id) => id,
        );
        return { body: { items: hosts, next_cursor: page.next_cursor } };
      },
    }),
    route({
      method: "get",
      path: "/api/v1/hosts/{id}",
      operation: "getHost",
      tag: "hosts",
      summary: "One host",
      role: "viewer",
      params: z.object({ id: nameInputSchema }),
      query: z.strictObject(rangeQuery),
      response: hostSchema,
      problems: ["not_found"],
      handle: async ({ params: { id }, query }) => {
        const [host] = await describeHosts(store, control.view, [id], questionOf(query, silent_after_ms));
        if (!host || (host.enrolled_at === null && host.last_seen === null)) throw notFound("host", id);
        return { body: host };
      },
    }),
  ];
}

function questionOf(query: { from?: number | undefined; to?: number | undefined }, silent_after_ms: number): HostQuestion {
  const now = Date.now();
  const to = query.to ?? now;
  const from = query.from ?? to - range_ms_default;
  const fault = (detail: string) => new Problem("invalid_request", `from ${detail}`, [{ in: "query", name: "from", detail }]);
  if (from >= to) throw fault(`${new Date(from).toISOString()} is not before to, ${new Date(to).toISOString()}`);
  if (to - from > range_ms_max) throw fault(`is ${to - from} ms before to, above the limit of ${range_ms_max} ms`);
  return { from, to, now, silent_after_ms };
}

async function hostIds(store: Store, control: Control, after: string, rows_max: number): Promise<string[]> {
  const observed = await observedHostIds(store, after, rows_max);
  const enrolled = control.view.all("agent").map(({ value }) => value.host_id);
  const ids = new Set([...observed, ...enrolled.filter((id) => id > after)]);
  return [...ids].sort().slice(0, rows_max);
}
