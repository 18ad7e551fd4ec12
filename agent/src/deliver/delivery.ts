/** The ways to the log: through ingest, or, for a trusted publisher, straight to Kafka. The sender brings one record at a time. */
import type { Waiting } from "./spool";

export interface Delivery {
  /**
   * One attempt. Resolves "delivered" once the log has it; it may come twice, and readers drop the repeat. Rejects only where something
   * is wrong that no outcome names; the sender then tries again, as it does after "away". Soon after the signal it settles either way.
   */
  deliver(next: Waiting, signal: AbortSignal): Promise<Outcome>;
  close(): Promise<void>;
}

export type Outcome =
  | {
      readonly kind: "delivered";
      /** Inventory that was collected longer ago is wanted again. */
      readonly inventory_age_ms_max?: number;
    }
  /** It never will be. It is counted as dropped for this reason. */
  | { readonly kind: "unusable"; readonly counted_as: string; readonly message: string; readonly fields: object }
  /** It may be, later. status tells one kind of trouble from another. */
  | {
      readonly kind: "away";
      readonly message: string;
      readonly status: number | string;
      readonly reason: string;
      readonly retry_after_ms?: number | undefined;
    };
