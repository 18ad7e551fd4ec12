/** One row of the table of routes. The table drives the router (app.ts) and the OpenAPI document (openapi.ts) alike. */
import type { ApiKey } from "@assay/control/entities";
import type { z } from "zod";
import type { ProblemCode } from "./problem";

export type Role = ApiKey["role"];

export interface Caller {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}

export interface RouteRequest<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The If-Match header as it came. */
  readonly if_match: string | undefined;
  /** undefined on open routes only. */
  readonly caller: Caller | undefined;
}

export interface RouteAnswer<R> {
  /** 200 where left out. */
  readonly status?: 200 | 201 | 202;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: R;
}

export interface RouteOf<P, Q, B, R> {
  readonly method: "get" | "put" | "post";
  /** With {name} for parameters, as OpenAPI writes it. */
  readonly path: string;
  readonly operation: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** The least role that may call it; undefined: open to everybody. */
  readonly role: Role | undefined;
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  /** Takes If-Match with the version that the caller saw. */
  readonly if_match?: true;
  readonly response: z.ZodType<R>;
  /** Statuses of success that it may answer; [200] where left out. */
  readonly statuses?: readonly (200 | 201 | 202)[];
  /** Problems of its own, besides those that every route may answer. */
  readonly problems?: readonly ProblemCode[];
  handle(request: RouteRequest<P, Q, B>): Promise<RouteAnswer<R>>;
}

/** What the router sees: inputs are unknown until the row's own schemas have parsed them. */
export type Route = Omit<RouteOf<unknown, unknown, unknown, unknown>, "handle"> & {
  handle(request: RouteRequest<unknown, unknown, unknown>): Promise<RouteAnswer<unknown>>;
};

/** Checks a row's types against its schemas. The router hands it only what those schemas parsed. */
export function route<P = undefined, Q = undefined, B = undefined, R = unknown>(row: RouteOf<P, Q, B, R>): Route {
  return row as unknown as Route;
}
