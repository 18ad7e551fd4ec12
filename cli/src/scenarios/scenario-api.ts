/** What scenarios ask of the report API. */
import type { ApplicationAnswer } from "@assay/report-api/schemas/application";
import type { Finding } from "@assay/report-api/schemas/finding";
import { markedRules } from "./synthetic-host";

/** A report API and how to be let in. */
export interface ApiAccess {
  readonly report_api_url: string;
  key(): string;
}

const page_items = 100;

/** Returns the event time from which windows see it. */
export async function createApplication(assay: ApiAccess, id: string, host_ids: readonly string[]): Promise<number> {
  const body = { name: id, selector: { tag: "host", in: host_ids }, tiers: [], expected_version: 0 };
  const made = await request<ApplicationAnswer>(assay, "PUT", `/api/v1/applications/${id}`, body);
  return Date.parse(made.effective_from);
}

export async function rulesInForce(assay: ApiAccess): Promise<boolean> {
  const ids = new Set((await all<{ readonly id: string }>(assay, "/api/v1/rules")).map((rule) => rule.id));
  return Object.values(markedRules).every((rule) => ids.has(rule));
}

/** filter: a part of a query string. */
export function allFindings(assay: ApiAccess, filter?: string): Promise<Finding[]> {
  return all(assay, `/api/v1/findings${filter === undefined ? "" : `?${filter}`}`);
}

async function all<T>(assay: ApiAccess, path: string): Promise<T[]> {
  const items: T[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const after: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page: { items: T[]; next_cursor: string | null } = await request(
      assay,
      "GET",
      `${path}${path.includes("?") ? "&" : "?"}limit=${page_items}${after}`,
    );
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return items;
}

async function request<T>(assay: ApiAccess, method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(assay.report_api_url + path, {
    method,
    headers: { authorization: `Bearer ${assay.key()}`, ...(body ? { "content-type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
