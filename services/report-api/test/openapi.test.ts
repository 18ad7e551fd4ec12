import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openApiDocument } from "../src/openapi";
import { api_version, routeTable } from "../src/routes/table";
import { type Json, TestControl } from "./report-api-under-test";

const routes = routeTable({ query: async () => [] }, new TestControl(), 60_000);
const document: Json = JSON.parse(JSON.stringify(openApiDocument(routes, api_version)));
const golden = join(__dirname, "golden/openapi.json");

it("is what clients were given (JEST_UPDATE_GOLDEN=1 writes it anew)", () => {
  const text = `${JSON.stringify(document, null, 2)}\n`;
  if (process.env.JEST_UPDATE_GOLDEN === "1") writeFileSync(golden, text);
  expect(text).toBe(readFileSync(golden, "utf8"));
});

it("describes every route, and nothing else", () => {
  const described = Object.entries<Json>(document.paths).flatMap(([path, item]) => Object.keys(item).map((m) => `${m} ${path}`));
  expect(described.sort()).toEqual(routes.map((row) => `${row.method} ${row.path}`).sort());
});

it("has unique operation ids, and declares each parameter of a path once", () => {
  const operations = operationsOf(document);
  expect(new Set(operations.map((o) => o.operationId)).size).toBe(operations.length);
  for (const { path, parameters } of operations) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]);
    expect(parameters.filter((p: Json) => p.in === "path").map((p: Json) => p.name)).toEqual(inPath);
    const names = parameters.map((p: Json) => `${p.in} ${p.name}`);
    expect(new Set(names).size).toBe(names.length);
    for (const parameter of parameters) expect(parameter.schema).toBeDefined();
    expect(parameters.filter((p: Json) => p.in === "path").every((p: Json) => p.required)).toBe(true);
  }
});

it("refers only to components that exist, and uses each of them", () => {
  const used = new Set([...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((m) => m[1]));
  const components = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
  expect([...used].sort()).toEqual(components.sort());
});

it("tells of a success and of the problems of each operation, as problem+json", () => {
  for (const { operationId, responses, security } of operationsOf(document)) {
    const statuses = Object.keys(responses);
    expect([operationId, statuses.some((s) => s.startsWith("2"))]).toEqual([operationId, true]);
    for (const status of statuses.filter((s) => s >= "400")) {
      expect(Object.keys(responses[status].content)).toEqual(["application/problem+json"]);
    }
    expect([operationId, statuses.includes("401")]).toEqual([operationId, security === undefined]);
  }
});

it("shows limits to its readers", () => {
  const parameters = document.paths["/api/v1/findings"].get.parameters;
  const schemaOf = (name: string) => parameters.find((p: Json) => p.name === name).schema;
  expect(schemaOf("limit")).toMatchObject({ type: "integer", minimum: 1, maximum: 500, default: 100 });
  expect(schemaOf("severity")).toMatchObject({ type: "array", maxItems: 100 });
  expect(schemaOf("text")).toMatchObject({ maxLength: 200 });
});

function operationsOf(of: Json): Json[] {
  return Object.entries<Json>(of.paths).flatMap(([path, item]) => Object.values<Json>(item).map((o) => ({ path, ...o })));
}
