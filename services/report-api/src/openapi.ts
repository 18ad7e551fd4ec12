/** The OpenAPI 3.1 document, drawn from the table of routes and the very schemas that check input and describe output. */
import { z } from "zod";
import { isList } from "./http/parse-input";
import { type ProblemCode, problemContentType, problemSchema, statusOf, titleOf } from "./http/problem";
import type { Route } from "./http/route";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { [key: string]: Json };

export function openApiDocument(routes: readonly Route[], version: string): JsonObject {
  const components: JsonObject = {};
  const paths: Record<string, JsonObject> = {};
  for (const row of routes) {
    const path = paths[row.path] ?? {};
    path[row.method] = operation(row, components);
    paths[row.path] = path;
  }
  jsonSchema(problemSchema, "output", components);
  return {
    openapi: "3.1.0",
    info: {
      title: "Assay report API",
      version,
      description:
        "Applications, assessments, findings, outcomes and hosts. Errors are application/problem+json (RFC 9457). Lists come in pages: give next_cursor as cursor for the next one.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }, { api_key: [] }],
    tags: [...new Set(routes.map((row) => row.tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "An API key" },
        api_key: { type: "apiKey", in: "header", name: "x-api-key" },
      },
      schemas: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

function operation(row: Route, components: JsonObject): JsonObject {
  const success: JsonObject = {};
  for (const status of row.statuses ?? [200]) {
    success[status] = {
      description: successTexts[status],
      content: { "application/json": { schema: jsonSchema(row.response, "output", components) } },
    };
  }
  return {
    operationId: row.operation,
    tags: [row.tag],
    summary: row.summary,
    ...(row.description === undefined ? {} : { description: row.description }),
    ...(row.role === undefined ? { security: [] } : { "x-assay-role": row.role }),
    parameters: [
      ...parameters(row.params, "path", components),
      ...parameters(row.query, "query", components),
      ...(row.if_match ? [ifMatch] : []),
    ],
    ...(row.body
      ? {
          requestBody: { required: true, content: { "application/json": { schema: jsonSchema(row.body, "input", components) } } },
        }
      : {}),
    responses: { ...success, ...problemResponses(problemsOf(row)) },
  };
}

const successTexts = { 200: "Success", 201: "Created", 202: "Accepted; it takes effect at a window edge" } as const;

const ifMatch: JsonObject = {
  name: "If-Match",
  in: "header",
  required: false,
  description: 'The version that you saw, as its ETag: "3". In place of expected_version.',
  schema: { type: "string" },
};

function problemsOf(row: Route): ProblemCode[] {
  const codes = new Set<ProblemCode>(["failed", "overloaded", "unavailable", ...(row.problems ?? [])]);
  if (row.params || row.query || row.body) codes.add("invalid_request");
  if (row.role !== undefined) codes.add("unauthenticated").add("forbidden");
  if (row.body) codes.add("body_too_large").add("unsupported_media_type");
  return [...codes];
}

function problemResponses(codes: readonly ProblemCode[]): JsonObject {
  const texts = new Map<number, string[]>();
  for (const code of codes) texts.set(statusOf(code), [...(texts.get(statusOf(code)) ?? []), titleOf(code)]);
  const responses: JsonObject = {};
  for (const [status, titles] of texts) {
    responses[status] = {
      description: titles.join(", or: "),
      content: { [problemContentType]: { schema: { $ref: "#/components/schemas/Problem" } } },
    };
  }
  return responses;
}

function parameters(schema: z.ZodType | undefined, where: "path" | "query", components: JsonObject): JsonObject[] {
  if (!schema) return [];
  if (!(schema instanceof z.ZodObject)) throw new Error(`${where} parameters must be an object schema`);
  const shape = schema.shape as Record<string, z.ZodType>;
  return Object.entries(shape).map(([name, value]) => {
    const { description, ...json } = jsonSchema(value, "input", components);
    return {
      name,
      in: where,
      required: where === "path" || !value.safeParse(undefined).success,
      ...(description === undefined ? {} : { description }),
      // Comma-separated.
      ...(isList(value) ? { style: "form", explode: false } : {}),
      schema: json,
    };
  });
}

/** JSON Schema of a zod schema; those with an id move to the components, where one name stands for one schema. */
function jsonSchema(schema: z.ZodType, io: "input" | "output", components: JsonObject): JsonObject {
  const {
    $schema: _,
    $defs,
    ...json
  } = z.toJSONSchema(schema, { io, target: "draft-2020-12", override: open }) as unknown as JsonObject;
  for (const [name, value] of Object.entries(($defs ?? {}) as JsonObject)) {
    const moved = plain(pointToComponents(value));
    if (components[name] && JSON.stringify(components[name]) !== JSON.stringify(moved)) {
      throw new Error(`two schemas have the id ${name}`);
    }
    components[name] = moved;
  }
  return plain(pointToComponents(json)) as JsonObject;
}

/** Answers may get more fields in later releases; only strict objects, which are inputs, refuse unknown ones. */
function open({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodTypes; jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  const { def } = zodSchema._zod;
  if (def.type === "object" && def.catchall === undefined) delete jsonSchema.additionalProperties;
}

function pointToComponents(value: Json): Json {
  if (Array.isArray(value)) return value.map(pointToComponents);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, v]) => [
      key,
      key === "$ref" && typeof v === "string" ? v.replace(/^#\/\$defs\//, "#/components/schemas/") : pointToComponents(v),
    ]),
  );
}

/** Without the bounds of JavaScript's integers, which say nothing to a reader. */
function plain(value: Json): Json {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value as JsonObject).filter(
    ([key, v]) => !(key === "maximum" && v === Number.MAX_SAFE_INTEGER) && !(key === "minimum" && v === Number.MIN_SAFE_INTEGER),
  );
  return Object.fromEntries(entries.map(([key, v]) => [key, plain(v)]));
}
