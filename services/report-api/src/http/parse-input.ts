/** Turns what came over HTTP into a route's input, or throws one Problem that names every fault. */
import { z } from "zod";
import { type InputFault, Problem } from "./problem";
import type { Route } from "./route";

export interface RawInput {
  readonly params: unknown;
  /** As node:querystring parses it: repeated names give arrays. */
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

export function parseInput(row: Route, raw: RawInput): { params: unknown; query: unknown; body: unknown } {
  const faults: InputFault[] = [];
  const params = parsePart(row.params, raw.params, "path", faults);
  const query = parsePart(row.query ?? noQuery, row.query ? lists(row.query, raw.query) : raw.query, "query", faults);
  const body = parseBody(row.body, raw.body, faults);
  if (faults.length === 0) return { params, query, body };
  const detail = faults.map((f) => `${f.in}${f.name ? ` ${f.name}` : ""}: ${f.detail}`).join("; ");
  throw new Problem("invalid_request", detail, faults);
}

const noQuery = z.strictObject({});
const faults_max = 20;

function parsePart(schema: z.ZodType | undefined, value: unknown, part: InputFault["in"], faults: InputFault[]): unknown {
  if (!schema) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues.flatMap(nearest).slice(0, faults_max)) {
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys.slice(0, faults_max)) {
        faults.push({ in: part, name: [...issue.path, key].join("."), detail: "is not known here" });
      }
    } else {
      faults.push({ in: part, name: issue.path.join("."), detail: withValue(issue.message, value, issue.path) });
    }
  }
  return undefined;
}

/** Of a value that fits none of several forms: the faults against the one form that knows all its fields, if there is just one. */
function nearest(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const forms = issue.errors.filter((faults) => !faults.some((f) => f.code === "unrecognized_keys" && f.path.length === 0));
  const [form] = forms;
  if (!form || forms.length > 1) return [{ ...issue, message: "fits none of the forms that are allowed here" }];
  return form.map((fault) => ({ ...fault, path: [...issue.path, ...fault.path] })).flatMap(nearest);
}

/** Selectors nest; past this depth nothing that a person wrote is lost. */
export const body_depth_max = 32;

function parseBody(schema: z.ZodType | undefined, body: unknown, faults: InputFault[]): unknown {
  if (!schema) return undefined;
  const fault = (detail: string) => faults.push({ in: "body", name: "", detail });
  if (body === undefined) fault("a JSON body is needed, with content-type application/json");
  else if (isDeeper(body, body_depth_max)) fault(`nests deeper than the limit of ${body_depth_max}`);
  else return parsePart(schema, body, "body", faults);
  return undefined;
}

/** Level by level: recursion would overflow on what this is to refuse. */
function isDeeper(value: unknown, depth_max: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > depth_max) return true;
    level = level.flatMap((v) => (typeof v === "object" && v !== null ? Object.values(v) : []));
  }
  return false;
}

/** Splits commas where the schema wants a list; a repeated name gives a list anyway. */
function lists(schema: z.ZodType, query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const shape = schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : {};
  const split: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(query)) {
    split[name] = shape[name] && isList(shape[name]) ? [value].flat().flatMap((v) => String(v).split(",")) : value;
  }
  return split;
}

export function isList(schema: z.ZodType): boolean {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return isList(schema.unwrap() as z.ZodType);
  return schema instanceof z.ZodArray;
}

const shown_length_max = 60;

/** Zod's messages tell the rule; the value is told too, where it is short and plain. */
function withValue(message: string, input: unknown, path: readonly PropertyKey[]): string {
  let value: unknown = input;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined | null)?.[key];
  if (typeof value !== "string" && typeof value !== "number") return message;
  const shown = JSON.stringify(value);
  return shown.length > shown_length_max ? message : `${message} (given: ${shown})`;
}
