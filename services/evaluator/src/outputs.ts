/** What the evaluator's stages put out, and what of it is written where: block-sink.ts. */
import type { DeadLetter, FindingEvent } from "@assay/schemas/generated/types";
import type { TableName, TableRows } from "./rows";

export type Output =
  | { readonly [T in TableName]: { readonly kind: "row"; readonly table: T; readonly row: TableRows[T] } }[TableName]
  | { readonly kind: "finding_event"; readonly event: FindingEvent }
  | { readonly kind: "dead_letter"; readonly letter: Omit<DeadLetter, "at" | "service"> }
  /** First of each record's outputs: the record was used. */
  | {
      readonly kind: "evaluated";
      /** Host or application. */
      readonly subject: string;
      /** Event time through which it has been evaluated. */
      readonly through: number;
      /** The record's own timestamp. */
      readonly timestamp: number;
      /** Latest acceptance of what the record stands on, for latency; 0 where not known. */
      readonly received_through: number;
    };

export function row<T extends TableName>(table: T, value: TableRows[T]): Output {
  return { kind: "row", table, row: value } as Output;
}
