/** What the supervisor and the services process tell each other, over the child's IPC channel. Plain JSON. */

export interface ServicesPlan {
  /** Where the log and the engine keep their files; the services' user owns it. */
  readonly directory: string;
  /** The log's file stays below this. */
  readonly log_bytes_max: number;
  readonly rules_directory: string;
  /** The host that the agent of this machine speaks for. */
  readonly host_id: string;
  /** Other hosts work on the same log, and it names things for all of them. */
  readonly shares_log: boolean;
  readonly enrolment_secret: string;
  /** SHA-256, hex, of the report API's key. */
  readonly api_key_sha256: string;
  readonly ports: Ports;
  readonly assessment: AssessmentPlan;
}

/** On 127.0.0.1; 0: any free one. */
export interface Ports {
  readonly report_api: number;
  readonly ingest: number;
  readonly metrics: number;
}

export type AssessmentPlan =
  | { readonly kind: "continuous" }
  /** packages: empty for all. */
  | { readonly kind: "once"; readonly id: string; readonly packages: readonly string[]; readonly duration_ms: number };

/** Of the services process. */
export const services_exit_codes = { stopped: 0, failed: 1, disk_full: 4 } as const;

export type ToServices = { readonly type: "start"; readonly plan: ServicesPlan } | { readonly type: "stop" };

export type FromServices =
  /** What it is doing, for the user. */
  | { readonly type: "doing"; readonly what: string }
  /** While the engine is down for want of room on the disk: what it found no room for; undefined once it is past. */
  | { readonly type: "disk_full"; readonly what: string | undefined }
  | { readonly type: "ready"; readonly ports: Ports; readonly engine_port: number | undefined; readonly assessment_id: string }
  /** It ends after this. */
  | { readonly type: "failed"; readonly message: string };
