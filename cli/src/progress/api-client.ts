/** The report API as the CLI asks it. */
import type { AssessmentDetail } from "@assay/report-api/schemas/assessment";
import type { Finding } from "@assay/report-api/schemas/finding";
import type { Host } from "@assay/report-api/schemas/host";
import type { Report } from "@assay/report-api/schemas/report";
import type { Status } from "@assay/report-api/schemas/status";

export interface ApiClient {
  status(): Promise<Status>;
  assessment(id: string): Promise<AssessmentDetail>;
  report(id: string): Promise<Report>;
  /** Null where the API has not heard of it yet. */
  host(id: string): Promise<Host | null>;
  /** What the rule says of itself. */
  ruleDescription(id: string): Promise<string>;
  /** The most severe active ones first. */
  findings(limit: number): Promise<readonly Finding[]>;
}

const answer_wait_ms = 30_000;

export function apiClient(url: string, key: string): ApiClient {
  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(url + path, {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(answer_wait_ms),
    });
    if (!response.ok) throw new ApiError(response.status, path, await response.text());
    return (await response.json()) as T;
  };
  const id = encodeURIComponent;
  return {
    status: () => get("/api/v1/status"),
    assessment: (assessment) => get(`/api/v1/assessments/${id(assessment)}`),
    report: (assessment) => get(`/api/v1/assessments/${id(assessment)}/report`),
    host: (host) =>
      get<Host>(`/api/v1/hosts/${id(host)}`).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }),
    ruleDescription: async (rule) => (await get<{ description: string }>(`/api/v1/rules/${id(rule)}`)).description,
    findings: async (limit) =>
      (await get<{ items: Finding[] }>(`/api/v1/findings?status=active&sort=severity&limit=${limit}`)).items,
  };
}

export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: number,
    path: string,
    body: string,
  ) {
    super(`the report API answered ${path} with ${status}: ${body.slice(0, body_length_max)}`);
  }
}
const body_length_max = 300;
