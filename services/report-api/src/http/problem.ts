/** Errors that a caller is told of, as RFC 9457 says: application/problem+json. */
import { z } from "zod";

export const problemContentType = "application/problem+json";

export const problemSchema = z
  .object({
    type: z.string().describe("urn:assay:problem:<code>"),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What is wrong, with the value and the limit"),
    errors: z
      .array(z.object({ in: z.enum(["path", "query", "header", "body"]), name: z.string(), detail: z.string() }))
      .optional()
      .describe("Each fault of the input"),
  })
  .meta({ id: "Problem" });
export type ProblemBody = z.infer<typeof problemSchema>;
export type InputFault = NonNullable<ProblemBody["errors"]>[number];

const problems = {
  invalid_request: { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "An API key is needed" },
  forbidden: { status: 403, title: "The API key's role does not allow this" },
  not_found: { status: 404, title: "There is no such thing" },
  method_not_allowed: { status: 405, title: "The path does not take this method" },
  version_conflict: { status: 409, title: "It has been changed since" },
  not_allowed_in_state: { status: 409, title: "Its state does not allow this" },
  body_too_large: { status: 413, title: "The body is too large" },
  unsupported_media_type: { status: 415, title: "The body is not JSON" },
  refused: { status: 422, title: "The coordinator refused this" },
  version_required: { status: 428, title: "The version that you saw is needed" },
  failed: { status: 500, title: "An error of Assay's own" },
  overloaded: { status: 503, title: "Too many requests are in hand" },
  unavailable: { status: 503, title: "Something that this needs does not answer" },
} as const;
export type ProblemCode = keyof typeof problems;

export function statusOf(code: ProblemCode): number {
  return problems[code].status;
}

export function titleOf(code: ProblemCode): string {
  return problems[code].title;
}

/** Thrown by handlers; the app turns it into the answer. */
export class Problem extends Error {
  override readonly name = "Problem";
  constructor(
    readonly code: ProblemCode,
    detail: string,
    readonly errors: readonly InputFault[] = [],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
  }

  body(): ProblemBody {
    const { status, title } = problems[this.code];
    const body: ProblemBody = { type: `urn:assay:problem:${this.code}`, title, status, detail: this.message };
    return this.errors.length > 0 ? { ...body, errors: [...this.errors] } : body;
  }
}

export function notFound(what: string, id: string): Problem {
  return new Problem("not_found", `there is no ${what} ${JSON.stringify(id)}`);
}
