/** The one table of routes, in the order in which they match. */

import { z } from "zod";
import type { Control } from "../control";
import { type Route, route } from "../http/route";
import { type Json, openApiDocument } from "../openapi";
import type { Store } from "../queries/read";
import { applicationRoutes } from "./applications";
import { assessmentRoutes } from "./assessments";
import { findingRoutes } from "./findings";
import { hostRoutes } from "./hosts";
import { outcomeRoutes } from "./outcomes";
import { ruleRoutes } from "./rules";
import { statusRoutes } from "./status";
import { templateRoutes } from "./templates";

/** Of the API, not of the release: it changes when the API does. */
export const api_version = "1.0.0";

export function routeTable(store: Store, control: Control, silent_after_ms: number): Route[] {
  const routes: Route[] = [
    ...applicationRoutes(control),
    ...templateRoutes(control),
    ...assessmentRoutes(store, control),
    ...findingRoutes(store, control),
    ...outcomeRoutes(store, control),
    ...hostRoutes(store, control, silent_after_ms),
    ...ruleRoutes(store),
    ...statusRoutes(store, control, silent_after_ms),
  ];
  let document: Json | undefined;
  routes.push(
    route({
      method: "get",
      path: "/openapi.json",
      operation: "getOpenApi",
      tag: "description",
      summary: "This document",
      role: undefined,
      response: z.looseObject({ openapi: z.string() }),
      handle: async () => {
        document ??= openApiDocument(routes, api_version);
        return { body: document as { openapi: string } };
      },
    }),
  );
  return routes;
}
