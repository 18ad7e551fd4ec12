/** An Assay under load, embedded or distributed, as the benchmark sees it. */
import type { AuditReport } from "@assay/cli/audit/table";
import type { ApiAccess } from "@assay/cli/scenarios/scenario-api";

export interface Target {
  readonly mode: "embedded" | "kafka";
  readonly api: ApiAccess;
  readonly ingest_urls: readonly string[];
  readonly enrol_secret: string;
  readonly window_ms: number;
  readonly lateness_ms: number;
  /** Of /metrics. */
  readonly metrics_urls: readonly string[];
  /** By name; several of one name are added up. */
  processes(): readonly NamedProcess[];
  /** Ends it, and recounts. */
  finish(): Promise<AuditReport>;
  /** At any time, also after finish: leaves nothing running and nothing on the disk. */
  dispose(): Promise<void>;
}

export interface NamedProcess {
  readonly name: string;
  readonly pid: number;
}
