import type { InsertBlock } from "../src/client";

export const noon = Date.UTC(2026, 10, 24, 12);

/** A row of assay.finding_activity; occurrences is 1 for even numbers and 2 for odd ones. */
export function activity(i: number): Record<string, unknown> {
  return {
    finding_id: `f${i}`,
    rule_id: `r${i % 3}`,
    package: "p1",
    severity: "low",
    host_id: "h1",
    application_id: "",
    at: noon + i,
    until: noon + 10_000,
    first: noon + 1,
    last: noon + 2,
    occurrences: 1 + (i % 2),
    late: 0,
    evidence: "{}",
  };
}

export function blockOf(table: string, rows: readonly Record<string, unknown>[], token: string): InsertBlock {
  const columns = Object.keys(rows[0] ?? {});
  return { table: `assay.${table}`, columns, rows: rows.map((row) => columns.map((column) => row[column])), token };
}
