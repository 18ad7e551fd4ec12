/**
 * Rules of assessment scope: asked once of each period that ends, at the first window that reaches its end, of the listeners open
 * in that window. Assessments with the same period share one evaluation.
 */

import type { Rule } from "@assay/rules/rule";
import type { HostWindow } from "@assay/schemas/generated/types";
import { gapIn } from "./coverage";
import { incomplete } from "./evaluate-window";
import { see, settle, type Write } from "./findings";
import type { HostEntry, HostWindowsParts, Span } from "./host-entry";
import { type Judged, ofPeriod } from "./outcomes";
import type { RuleSet } from "./rule-sets";
import { Sightings } from "./sightings";
import { listenerEvidence } from "./window-items";

/** Periods that one host is in at a time. Past it those that end last wait until there is room: each window tells them again. */
export const spans_max = 1_000;

/**
 * Notes the periods that cover a window. One that ended at or before event_time has been evaluated. One that should cover the window
 * and that it doesn't tell of was cancelled or got another end, or is of an application that the host has left: nobody asks any more.
 */
export function noteSpans(spans: Span[], part: HostWindow, event_time: number): void {
  const told = new Set(part.assessments.map(({ begins_at, ends_at }) => `${begins_at}/${ends_at}`));
  const stands = ([b, e]: Span) => b > part.window_start || e < part.window_end || told.has(`${b}/${e}`);
  spans.splice(0, spans.length, ...spans.filter(stands));
  for (const { begins_at, ends_at } of part.assessments) {
    if (ends_at <= event_time || spans.some(([b, e]) => b === begins_at && e === ends_at)) continue;
    spans.push([begins_at, ends_at]);
  }
  spans.sort(([b1, e1], [b2, e2]) => e1 - e2 || b1 - b2);
  spans.splice(spans_max);
}

export function evaluateAssessments(
  parts: HostWindowsParts,
  rules: RuleSet,
  host: HostEntry,
  part: HostWindow,
  write: Write,
): void {
  const due = host.spans.filter(([, ends_at]) => ends_at <= part.window_end);
  if (due.length === 0) return;
  host.spans = host.spans.filter(([, ends_at]) => ends_at > part.window_end);
  const asked = [...rules.rules.values()].filter((rule) => rule.scope === "assessment" && !rules.told.has(rule.id));
  for (const span of due) {
    for (const rule of asked) evaluatePeriod(parts, rules, rule, span, host, part, write);
  }
}

function evaluatePeriod(
  parts: HostWindowsParts,
  rules: RuleSet,
  rule: Rule,
  [begins_at, ends_at]: Span,
  host: HostEntry,
  part: HostWindow,
  write: Write,
): void {
  const of = { rule, ruleset: rules.digest, host_id: part.host_id, application_id: "", as_of: ends_at, late: false };
  const insufficient = insufficientFor(parts, rule, begins_at, ends_at, host, part);
  if (insufficient) {
    ofPeriod(insufficient, of, begins_at, write.outputs);
    return;
  }

  const sightings = new Sightings(parts.engine, "host", part.host_id);
  for (const listener of part.listeners) {
    const used = listener.last_used_at >= begins_at;
    const item = parts.engine.listener(listener, used);
    if (!rules.matches(item).some((r) => r.id === rule.id)) continue;
    const times = { count: 1, first: Math.max(begins_at, listener.observed_since), last: ends_at };
    const evidence = () => ({ ...listenerEvidence(listener), period_start: begins_at, period_end: ends_at });
    sightings.add({ rule, item, times, evidence });
  }
  const seen = sightings.all({ ruleset: rules.digest, at: begins_at, until: ends_at, late: false, occurrences: () => "once" });
  for (const sighting of seen) see(host.findings, sighting, write);
  for (const [id, finding] of Object.entries(host.findings)) {
    if (finding.rule_id !== rule.id || finding.status !== "active" || sightings.has(id)) continue;
    settle(id, finding, "resolved", "a whole assessment no longer shows it", ends_at, write);
  }
  const outcome = sightings.matched.size > 0 ? "match" : "clear";
  ofPeriod({ outcome, reason: "" }, of, begins_at, write.outputs);
}

/** Whether a listener was used is told by connections, so both must have been seen throughout. */
function insufficientFor(
  parts: HostWindowsParts,
  rule: Rule,
  begins_at: number,
  ends_at: number,
  host: HostEntry,
  part: HostWindow,
): Judged | undefined {
  if (rule.category !== "listener") {
    return { outcome: "error", reason: `scope assessment is evaluated over listeners, not over ${rule.category}` };
  }
  const reason = gapIn(host.coverage, begins_at, ends_at, ["listeners", "connections"]) ?? incomplete(parts.engine, rule, part);
  return reason === undefined ? undefined : { outcome: "insufficient_evidence", reason };
}
