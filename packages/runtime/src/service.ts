/** What a hosted process asks of each of its services; `assay up` hosts several, a container one. */

export interface RunningService {
  /** Whether it can do its work now; the reason where it can't. Served at /ready. */
  ready(): Readiness;
  /** Rejects when the service can't go on (the world is down past the retries, or a bug); never resolves before stop. */
  readonly ended: Promise<void>;
  /** Finishes the work in hand, releases ports and handles. Called once. */
  stop(): Promise<void>;
}

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };
