/**
 * Cursor pages. A cursor holds the sort key of the last row of a page, so that rows which come in between neither repeat nor hide
 * others (as offsets would), and what the list was asked for, so that it isn't used with other filters.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { Problem } from "./problem";

export const page_rows_default = 100;
export const page_rows_max = 500;
export const cursor_length_max = 2048;

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(page_rows_max).default(page_rows_default).describe("Rows of a page"),
  cursor: z.string().min(1).max(cursor_length_max).optional().describe("next_cursor of the page before"),
};

export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    next_cursor: z.string().nullable().describe("For the next page; null on the last"),
  });
}

export interface Page<T> {
  readonly items: T[];
  readonly next_cursor: string | null;
}

/** A sort key: as many values as the list sorts by. */
export type SortKey = readonly (string | number)[];

export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Of a query: a digest of everything but limit and cursor. */
export function listDigest(list: string, query: PageRequest & Readonly<Record<string, unknown>>): string {
  const { limit: _, cursor: __, ...filters } = query;
  const asked = Object.entries(filters).filter(([, value]) => value !== undefined);
  return createHash("sha256")
    .update(JSON.stringify([list, asked.sort(([a], [b]) => (a < b ? -1 : 1))]))
    .digest("base64url")
    .slice(0, 16);
}

const cursorSchema = z.tuple([z.string(), z.array(z.union([z.string(), z.int()])).max(8)]);

export function writeCursor(digest: string, after: SortKey): string {
  return Buffer.from(JSON.stringify([digest, after])).toString("base64url");
}

/** The sort key after which to go on; undefined for the first page. `types` says what the key is made of. */
export function readCursor(
  cursor: string | undefined,
  digest: string,
  types: readonly ("string" | "number")[],
): SortKey | undefined {
  if (cursor === undefined) return undefined;
  const parsed = cursorSchema.safeParse(json(Buffer.from(cursor, "base64url").toString()));
  if (!parsed.success) throw badCursor("is not one that this API gave");
  const [of, after] = parsed.data;
  if (of !== digest) throw badCursor("belongs to a list with other filters or another sort order: leave it out to begin anew");
  const fits = after.length === types.length && after.every((value, i) => typeof value === types[i]);
  if (!fits) throw badCursor("is not one that this API gave");
  return after;
}

/** A page from one row more than the limit, sorted. */
export function pageFrom<T, U>(
  rows: readonly T[],
  limit: number,
  digest: string,
  keyOf: (row: T) => SortKey,
  show: (row: T) => U,
): Page<U> {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return { items: kept.map(show), next_cursor: rows.length > limit && last ? writeCursor(digest, keyOf(last)) : null };
}

/** A page of what stands in memory. `types`: of the sort key. */
export function pageOf<T, U>(
  items: readonly T[],
  request: PageRequest,
  digest: string,
  keyOf: (item: T) => SortKey,
  types: readonly ("string" | "number")[],
  show: (item: T) => U,
): Page<U> {
  const after = readCursor(request.cursor, digest, types);
  const sorted = items
    .filter((item) => !after || compareKeys(keyOf(item), after) > 0)
    .sort((a, b) => compareKeys(keyOf(a), keyOf(b)));
  return pageFrom(sorted, request.limit, digest, keyOf, show);
}

export function compareKeys(a: SortKey, b: SortKey): number {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? "";
    if (value < other) return -1;
    if (value > other) return 1;
  }
  return 0;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function badCursor(detail: string): Problem {
  return new Problem("invalid_request", `query cursor: ${detail}`, [{ in: "query", name: "cursor", detail }]);
}
