/** What the live line of `assay up` says. */
import type { FindingsBySeverity } from "@assay/report-api/schemas/assessment";
import type { Finding } from "@assay/report-api/schemas/finding";
import type { Status } from "@assay/report-api/schemas/status";
import { severities } from "@assay/rules/rule";
import { formatCount } from "../report/columns";

export function statusLine(host: string, status: Status): string {
  const { telemetry, windows, findings } = status;
  const dropped = telemetry.dropped > 0 ? `, ${formatCount(telemetry.dropped)} dropped` : "";
  if (windows.closed === 0) return `${host} · waiting for the first window`;
  return `${host} · ${formatCount(telemetry.events)} events${dropped} · ${formatCount(windows.closed)} windows · findings: ${bySeverity(findings.active)}`;
}

/** Every severity that there is one of; in full, because a colour can't be read aloud. */
export function bySeverity(counts: FindingsBySeverity): string {
  const some = severities.filter((s) => counts[s] > 0).map((s) => `${counts[s]} ${s}`);
  return some.length === 0 ? "none yet" : some.join(", ");
}

export function findingLine(finding: Finding): string {
  const identity = Object.entries(finding.identity).flatMap(([field, value]) => (value === "" ? [] : [`${field} ${value}`]));
  const what = identity.length > 0 ? `: ${identity.join(", ")}` : "";
  const where = finding.application_id === "" ? "" : ` (application ${finding.application_id})`;
  return `  ${finding.severity.padEnd(severity_width)}  ${finding.title}${what}${where}`.replaceAll(/\p{Cc}/gu, " ");
}

/** The first sentence of what the rule says of itself: why the finding above it matters. */
export function whyLine(description: string): string {
  const text = description.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  const sentence = /^.*?[.!?](?= |$)/.exec(text)?.[0] ?? text;
  return `  ${" ".repeat(severity_width)}    ${sentence}`;
}

const severity_width = Math.max(...severities.map((s) => s.length));
