/** What ingest answers. Handlers return it; start-ingest.ts alone writes it. */
import type { RefusalReason } from "./metrics";

export interface Reply {
  readonly status: number;
  readonly body: unknown;
  /** Seconds after which the same request may succeed. */
  readonly retry_after_s?: number;
  /** Counted; absent where nothing was refused. */
  readonly refused?: RefusalReason;
}

/** message: what, the value, the limit, the setting. */
export function refusal(status: number, reason: RefusalReason, message: string, retry_after_s?: number): Reply {
  const retry = retry_after_s === undefined ? {} : { retry_after_s };
  return { status, body: { error: { code: reason, message } }, refused: reason, ...retry };
}

export function isReply(value: object): value is Reply {
  return "status" in value && "body" in value;
}
