/** What the services process and its worker threads tell each other. Metrics travel beside it (runtime's metrics-port.ts). */
import type { Readiness } from "@assay/runtime/service";

export const serviceNames = ["ingest", "correlator", "evaluator", "report-api"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** A thread's workerData. */
export interface ThreadPlan {
  readonly service: ServiceName;
  readonly log_directory: string;
  /** ASSAY_… settings, the ports and addresses of this start among them. */
  readonly env: Readonly<Record<string, string>>;
  readonly store: { readonly url: string; readonly username: string; readonly password: string };
}

export type ToThread = { readonly tag: "stop" } | { readonly tag: "ready_request"; readonly id: number };

export type FromThread =
  /** port: of a service that listens. */
  | { readonly tag: "started"; readonly port: number | undefined }
  | { readonly tag: "failed"; readonly message: string; readonly disk_full: boolean }
  | { readonly tag: "stopped" }
  | { readonly tag: "readiness"; readonly id: number; readonly readiness: Readiness };
