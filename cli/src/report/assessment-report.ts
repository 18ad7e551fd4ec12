/** What `assay assess` tells: the report API's report, and of its hosts what their agents could not read. */
import type { ApplicationAnswer } from "@assay/report-api/schemas/application";
import type { AssessmentAnswer, AssessmentCoverage, Exclusion } from "@assay/report-api/schemas/assessment";
import type { Host } from "@assay/report-api/schemas/host";
import type { Outcome } from "@assay/report-api/schemas/outcome";
import type { Report, ReportFinding } from "@assay/report-api/schemas/report";

export interface AssessReport {
  readonly generated_at: string;
  readonly host: Pick<Host, "id" | "name" | "os" | "agent_version"> | null;
  readonly application: ApplicationAnswer | null;
  readonly assessment: AssessmentAnswer;
  readonly findings: readonly ReportFinding[];
  /** One per rule and host, or rule and application. */
  readonly outcomes: readonly Outcome[];
  readonly coverage: AssessmentCoverage & {
    readonly collectors: Host["collectors"];
    readonly inventory: Host["inventory"];
    readonly exclusions: readonly Exclusion[];
  };
}

export function assessReport(report: Report, host: Host | null): AssessReport {
  return {
    generated_at: report.generated_at,
    host: host && { id: host.id, name: host.name, os: host.os, agent_version: host.agent_version },
    application: report.application,
    assessment: report.assessment,
    findings: report.findings,
    outcomes: report.outcomes,
    coverage: {
      ...report.coverage,
      collectors: host?.collectors ?? [],
      inventory: host?.inventory ?? [],
      exclusions: report.exclusions,
    },
  };
}
