/** What a process of services and its worker threads tell each other. Metrics travel beside it (runtime's metrics-port.ts). */
import type { Readiness } from "@assay/runtime/service";
import type { LogPlan } from "../distributed/open-log";
import type { StoreLogin } from "../distributed/store-login";

export const serviceNames = ["ingest", "correlator", "evaluator", "report-api"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** A thread's workerData. */
export interface ThreadPlan {
  readonly service: ServiceName;
  readonly log: LogPlan;
  /** ASSAY_… settings, the ports and addresses of this start among them. */
  readonly env: Readonly<Record<string, string>>;
  /** Undefined for a service that doesn't use it. */
  readonly store?: StoreLogin;
}

export type ToThread = { readonly tag: "stop" } | { readonly tag: "ready_request"; readonly id: number };

export type FromThread =
  /** port: of a service that listens. */
  | { readonly tag: "started"; readonly port: number | undefined }
  | { readonly tag: "failed"; readonly message: string; readonly disk_full: boolean }
  | { readonly tag: "readiness"; readonly id: number; readonly readiness: Readiness };
