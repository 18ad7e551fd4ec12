/** The Express app: the table of routes behind authentication, input checks and one place that answers with problems. */
import { STATUS_CODES } from "node:http";
import type { Logger } from "@assay/runtime/logger";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import type { ControlReader } from "../control";
import type { ReportApiMetrics } from "../metrics";
import { UnavailableError } from "../unavailable";
import { authenticate, authorize } from "./authenticate";
import { Gate } from "./gate";
import { parseInput } from "./parse-input";
import { Problem, problemContentType } from "./problem";
import type { Caller, Route } from "./route";

export const body_bytes_max = 1024 * 1024;

export interface AppOptions {
  readonly routes: readonly Route[];
  readonly control: Pick<ControlReader, "all" | "refresh">;
  readonly logger: Logger;
  readonly metrics: ReportApiMetrics;
  readonly requests_in_flight_max: number;
}

export function createApp(options: AppOptions): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", "simple");
  const gate = new Gate(options.requests_in_flight_max, options.metrics);
  app.use(safeHeaders, measure(options.metrics), gate.enter);
  const parseBody = express.json({ limit: body_bytes_max, strict: true });
  for (const [path, rows] of byPath(options.routes)) {
    const router = app.route(path.replaceAll(/\{(\w+)\}/g, ":$1"));
    for (const row of rows) {
      const serve = (request: Request, response: Response) => gate.during(response, answer(options, row, request, response));
      const admit = async (request: Request, response: Response, next: NextFunction) => {
        response.locals.route = row;
        response.locals.caller = await caller(options, row, request);
        next();
      };
      if (row.body) router[row.method](admit, requireJson, parseBody, serve);
      else router[row.method](admit, serve);
    }
    router.all((request: Request) => {
      const allow = [...new Set(rows.map((row) => row.method.toUpperCase()))].join(", ");
      throw new Problem("method_not_allowed", `${path} takes ${allow}, not ${request.method}`, [], { allow });
    });
  }
  app.use((request: Request) => {
    throw new Problem("not_found", `there is nothing at ${request.path}: /openapi.json tells what there is`);
  });
  app.use(problems(options.logger));
  return app;
}

function byPath(routes: readonly Route[]): Map<string, Route[]> {
  const paths = new Map<string, Route[]>();
  for (const row of routes) paths.set(row.path, [...(paths.get(row.path) ?? []), row]);
  return paths;
}

/** Checked before the body is read: strangers send nothing. */
async function caller(options: AppOptions, row: Route, request: Request): Promise<Caller | undefined> {
  if (row.role === undefined) return undefined;
  await options.control.refresh().catch((cause: unknown) => {
    throw new UnavailableError("control can't be read, so keys can't be checked", { cause });
  });
  const found = authenticate(options.control, { authorization: request.get("authorization"), api_key: request.get("x-api-key") });
  authorize(found, row.role);
  return found;
}

async function answer(options: AppOptions, row: Route, request: Request, response: Response): Promise<void> {
  const input = parseInput(row, { params: request.params, query: request.query, body: request.body as unknown });
  const caller = response.locals.caller as Caller | undefined;
  const answered = await row.handle({ ...input, if_match: request.get("if-match"), caller });
  if (row.method !== "get") {
    options.logger.info({ operation: row.operation, path: request.path, by: caller?.name }, "change accepted");
  }
  response
    .status(answered.status ?? 200)
    .set(answered.headers ?? {})
    .json(answered.body);
}

function safeHeaders(_request: Request, response: Response, next: NextFunction): void {
  response.set({
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'",
  });
  next();
}

function measure(metrics: Pick<ReportApiMetrics, "answered">) {
  return (_request: Request, response: Response, next: NextFunction) => {
    const from = performance.now();
    response.once("finish", () => {
      const row = response.locals.route as Route | undefined;
      metrics.answered(row?.operation ?? "none", response.statusCode, (performance.now() - from) / 1000);
    });
    next();
  };
}

function requireJson(request: Request, _response: Response, next: NextFunction): void {
  const type = request.get("content-type");
  if (type !== undefined && !request.is("application/json")) {
    throw new Problem("unsupported_media_type", `the body's content-type is ${type}, not application/json`);
  }
  next();
}

function problems(logger: Logger) {
  // Express tells an error handler by its four parameters.
  return (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const problem = toProblem(error);
    const operation = (response.locals.route as Route | undefined)?.operation ?? "none";
    if (problem.code === "failed") logger.error({ error, operation, path: request.path }, "request failed");
    if (problem.code === "unavailable") logger.warn({ error, operation }, "request not served");
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const body = problem.body();
    response.status(body.status).set(problem.headers).type(problemContentType).send(JSON.stringify(body));
  };
}

/** Errors of Express' own parsers carry a status and, for bodies, a type. What else comes is ours, and its text stays in the log. */
function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof UnavailableError) return new Problem("unavailable", error.message);
  const { status, type, message } = (error ?? {}) as { status?: number; type?: string; message?: string };
  if (type === "entity.too.large")
    return new Problem("body_too_large", `the body is larger than the limit of ${body_bytes_max} bytes`);
  if (type === "entity.parse.failed") return new Problem("invalid_request", `the body is not valid JSON: ${message}`);
  if (type === "encoding.unsupported" || type === "charset.unsupported") {
    return new Problem("unsupported_media_type", message ?? "the body's encoding is not supported");
  }
  if (status !== undefined && status >= 400 && status < 500) {
    return new Problem("invalid_request", message ?? STATUS_CODES[status] ?? "bad request");
  }
  return new Problem("failed", "this request could not be served; the log of the report API tells why");
}
