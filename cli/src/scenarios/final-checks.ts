/** What must hold at the end of a scenario: findings by the events, an orderly stop, an audit that adds up. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { AuditReport } from "../audit/table";
import { formatCount } from "../report/columns";
import { differences, expectedFindings, foundFindings } from "./expected-findings";
import { isRunning, processNames, type RunningAssay, until } from "./running-assay";
import type { Delivered } from "./synthetic-host";
import { print, type Verdict } from "./verdict";

const settle_wait_ms = 120_000;
/** Windows are 10 s, lateness 2 s: past this, empty batches close the windows before them. */
export const closing_wait_ms = 13_000;
const shown_max = 20;

export async function checkFindings(
  assay: RunningAssay,
  delivered: ReadonlyMap<string, Delivered>,
  verdict: Verdict,
): Promise<void> {
  const expected = expectedFindings(delivered);
  const found = () => foundFindings(assay, delivered);
  await until(settle_wait_ms, "", async () => differences(expected, await found()).every((d) => d.found > d.expected)).catch(
    () => undefined, // what is missing is told below
  );
  await sleep(closing_wait_ms); // what would be too much may come late
  const wrong = differences(expected, await found());
  for (const d of wrong.slice(0, shown_max))
    print(`        ${d.what}: ${d.expected} events delivered, ${d.found} occurrences found`);
  const what = `${formatCount(expected.size)} pairs of host and rule have as many occurrences as events were delivered`;
  verdict.expect(`${what}, none lost, none doubled`, wrong.length === 0);
}

export async function checkStop(assay: RunningAssay, verdict: Verdict): Promise<void> {
  const pids = assay.pids();
  const code = await assay.stop();
  verdict.expect(`assay up stopped with exit code 0 (${code})`, code === 0);
  verdict.expect("no process was left", pids.length === processNames.length && pids.every((pid) => !isRunning(pid)));
}

export function checkAccount(report: AuditReport, delivered: ReadonlyMap<string, Delivered>, verdict: Verdict): void {
  const total = (of: (d: Delivered) => number) => [...delivered.values()].reduce((sum, d) => sum + of(d), 0);
  const rows = report.rows.filter((row) => delivered.has(row.host_id));
  const sum = (of: (row: AuditReport["rows"][number]) => number) => rows.reduce((all, row) => all + of(row), 0);
  const events = total((d) => d.events.processes + d.events.connections + d.events.listeners);
  const batches = `${formatCount(total((d) => d.batches))} batches by ${formatCount(total((d) => d.attempts))} attempts`;
  print(`${formatCount(events)} events delivered in ${batches}; ${formatCount(sum((r) => r.duplicates))} events came twice`);
  for (const problem of report.problems.slice(0, shown_max)) print(`        ${problem}`);
  verdict.expect("the audit adds up, for every host and kind", report.problems.length === 0);
  verdict.expect("accepted without repeats is what the hosts delivered", sum((r) => r.accepted - r.duplicates) === events);
  verdict.expect("nothing of the synthetic hosts is pending any more", sum((r) => r.pending) === 0);
}

export function auditOf(data: string): AuditReport {
  const program = join(__dirname, "../../bin/assay.js");
  const command = [program, "audit", "--data", data, "--format", "json"];
  const audit = spawnSync(process.execPath, command, { encoding: "utf8", maxBuffer: audit_bytes_max });
  if (audit.stdout === "") throw new Error(`assay audit failed: ${audit.stderr}`);
  return JSON.parse(audit.stdout) as AuditReport;
}
const audit_bytes_max = 64 * 1024 * 1024;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
