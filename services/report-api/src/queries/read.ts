/**
 * How every query of the API reaches ClickHouse: values travel as {name:Type} parameters, never in the text, and each query runs
 * under the same limit. Memory is limited by the engine's profile, rows by the store.
 */

import type { QueryParams, Store as WholeStore } from "@assay/store/client";
import { UnavailableError } from "../unavailable";

/** What the API needs of the store: it only reads. */
export type Store = Pick<WholeStore, "query">;
export type Params = QueryParams;

/** Shorter than the store's own limit: a person waits for the answer, and the engine has writers to serve. */
export const query_seconds_max = 15;

/** Throws UnavailableError where the store can't answer now, or not within its limits. */
export async function read<T>(store: Store, sql: string, params: Params): Promise<T[]> {
  try {
    return await store.query<T>(`${sql}\nSETTINGS max_execution_time = ${query_seconds_max}`, params);
  } catch (error) {
    const reason = unavailable(error);
    if (reason === undefined) throw error;
    throw new UnavailableError(reason, { cause: error });
  }
}

/** By ClickHouse's own names of errors; the store's client gives an error a cause once it gave up trying. */
function unavailable(error: unknown): string | undefined {
  const { type, cause } = (error ?? {}) as { type?: unknown; cause?: unknown };
  if (type === "TIMEOUT_EXCEEDED")
    return `the query took longer than the limit of ${query_seconds_max} s: narrow its filters or its range`;
  if (type === "MEMORY_LIMIT_EXCEEDED" || (cause as { type?: unknown } | undefined)?.type === "MEMORY_LIMIT_EXCEEDED") {
    return "the query needs more memory than the store allows: narrow its filters or its range";
  }
  if (type === "TOO_MANY_ROWS_OR_BYTES")
    return "the query has more rows than the store gives at once: narrow its filters or its range";
  return cause === undefined ? undefined : "the store does not answer";
}

/** A column of type DateTime64(3) as milliseconds since 1970. */
export function ms(column: string): string {
  return `toUnixTimestamp64Milli(${column})`;
}

/** A parameter of milliseconds since 1970 as DateTime64(3). */
export function instant(name: string): string {
  return `fromUnixTimestamp64Milli({${name}:Int64}, 'UTC')`;
}
