/** An account as a table, and what doesn't add up in words below it. */
import { renderTable } from "../report/columns";
import type { Account } from "./account";

export interface AuditReport extends Account {
  readonly audited_at: string;
  /** Records that ingest refused, which were never accepted: by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Of those that ingest had refused, replayed since; they count as accepted then. */
  readonly replayed: Readonly<Record<string, number>>;
  /** Groups that have committed nothing of a topic that has records, in words: all of it counts as pending. */
  readonly strangers: readonly string[];
  readonly telemetry_from: string | null;
  /** Partitions of telemetry whose first records the log has dropped, of how many. What they held is not counted. */
  readonly partitions_cut: { readonly cut: number; readonly of: number };
}

export function auditTable(report: AuditReport): string {
  const lines: string[] = [];
  if (report.rows.length === 0) lines.push("No telemetry was accepted.");
  else {
    lines.push(
      renderTable(
        [
          "host",
          "kind",
          "accepted",
          "windowed",
          "of it folded",
          "duplicates",
          "dead-lettered",
          "pending",
          "difference",
          "agent drops",
        ],
        report.rows.map((row) => [
          row.host_name === "" ? row.host_id : `${row.host_name} (${row.host_id.slice(0, host_id_length)})`,
          row.kind,
          row.accepted,
          row.windowed,
          row.folded,
          row.duplicates,
          row.dead_lettered,
          row.pending,
          row.difference,
          row.agent_drops,
        ]),
      ),
    );
  }
  lines.push(
    "",
    "accepted = windowed + duplicates + dead-lettered + pending + difference. Pending is still on its way; agent drops were never sent.",
  );
  const { cut, of } = report.partitions_cut;
  if (cut > 0) {
    lines.push(
      `The log has dropped the first telemetry of ${cut} of ${of} partitions, as it should after its time: what was accepted before ${report.telemetry_from ?? "now"} can't be counted any more, and nothing is said of it.`,
    );
  }
  if (report.windows_left_out > 0) {
    lines.push(
      `Left out on both sides: ${report.windows_left_out} windows with telemetry older than the log keeps (from ${report.telemetry_from}).`,
    );
  }
  for (const [reason, count] of Object.entries(report.refused))
    lines.push(`Refused by ingest, never accepted: ${count} (${reason}).`);
  for (const [reason, count] of Object.entries(report.replayed))
    lines.push(`Refused by ingest, and replayed since: ${count} (${reason}).`);
  for (const [host_id, count] of Object.entries(report.agent_dropped_batches)) {
    lines.push(`Lost by the agent of ${host_id} before it sent them: ${count} whole batches.`);
  }
  lines.push("", ...verdict(report));
  return `${lines.join("\n")}\n`;
}

const host_id_length = 8;
const problems_shown_max = 20;

function verdict({ problems, rows, strangers }: AuditReport): string[] {
  const warnings = strangers.map(
    (stranger) => `warning: ${stranger}; it all counts as pending. Has its service ever run on these topics?`,
  );
  if (problems.length === 0) {
    const pending = rows.reduce((sum, row) => sum + row.pending, 0);
    const still = pending === 0 ? "." : `; ${pending} ${pending === 1 ? "event is" : "events are"} pending.`;
    return [...warnings, `Everything adds up${still}`];
  }
  const more = problems.length - problems_shown_max;
  return [
    ...warnings,
    `It does not add up: ${problems.length} ${problems.length === 1 ? "difference" : "differences"}.`,
    ...problems.slice(0, problems_shown_max).map((p) => `  ${p}`),
    ...(more > 0 ? [`  … and ${more} more (--format json shows all)`] : []),
  ];
}
