/**
 * How every query of the API reaches ClickHouse: values travel as {name:Type} parameters, never in the text, and each query runs
 * under the same limit. Memory is limited by the engine's profile, rows by the store.
 */

import type { QueryParams, Store as WholeStore } from "@assay/store/client";

/** What the API needs of the store: it only reads. */
export type Store = Pick<WholeStore, "query">;
export type Params = QueryParams;

/** Shorter than the store's own limit: a person waits for the answer, and the engine has writers to serve. */
export const query_seconds_max = 15;

export function read<T>(store: Store, sql: string, params: Params): Promise<T[]> {
  return store.query<T>(`${sql}\nSETTINGS max_execution_time = ${query_seconds_max}`, params);
}

/** A column of type DateTime64(3) as milliseconds since 1970. */
export function ms(column: string): string {
  return `toUnixTimestamp64Milli(${column})`;
}

/** A parameter of milliseconds since 1970 as DateTime64(3). */
export function instant(name: string): string {
  return `fromUnixTimestamp64Milli({${name}:Int64}, 'UTC')`;
}
