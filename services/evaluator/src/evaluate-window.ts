/** Rules of event and state scope over one part of a host window. */

import { sectionOf } from "@assay/rules/categories";
import type { Rule } from "@assay/rules/rule";
import type { HostWindow } from "@assay/schemas/generated/types";
import { lostOf } from "./coverage";
import type { Engine } from "./engine";
import { findings_max, see, settle, type Write } from "./findings";
import type { HostEntry, HostWindowsParts } from "./host-entry";
import { type Judged, transition } from "./outcomes";
import type { RuleSet } from "./rule-sets";
import { Sightings } from "./sightings";
import { kindOfCategory, windowItems } from "./window-items";

export function evaluateWindow(
  parts: HostWindowsParts,
  rules: RuleSet,
  host: HostEntry,
  part: HostWindow,
  late: boolean,
  write: Write,
): void {
  const { engine } = parts;
  const sightings = new Sightings(engine, "host", part.host_id);
  for (const { item, times, evidence } of windowItems(engine, part)) {
    for (const rule of rules.matches(item)) {
      if (rule.scope !== "assessment") sightings.add({ rule, item, times, evidence });
    }
  }
  const cut = new Set<string>();
  const seen = sightings.all({
    ruleset: rules.digest,
    at: part.window_start,
    until: part.window_end,
    late,
    occurrences: (rule) => (rule.scope === "event" ? "each" : "once"),
  });
  for (const sighting of seen) {
    const refresh_ms = sighting.rule.scope === "state" ? parts.state_refresh_ms : 0;
    if (!see(host.findings, sighting, write, refresh_ms)) cut.add(sighting.rule.id);
  }
  for (const rule of rules.rules.values()) {
    if (!isJudgedHere(rule, rules)) continue;
    const judged = rules.told.get(rule.id) ?? judge(engine, rule, part, sightings.matched.has(rule.id), cut.has(rule.id));
    const of = { rule, ruleset: rules.digest, host_id: part.host_id, application_id: "", as_of: part.window_end, late };
    transition(host.outcomes, judged, of, write.outputs);
    const decided = judged.outcome === "match" || judged.outcome === "clear";
    if (rule.scope === "state" && !late && decided && incomplete(engine, rule, part) === undefined) {
      resolveUnseen(host, rule, sightings, part, write);
    }
  }
}

/** Why a window that shows no match of a rule can't be called clear; undefined where it can. */
export function incomplete(engine: Engine, rule: Rule, part: HostWindow): string | undefined {
  const kind = kindOfCategory[rule.category];
  if (kind === undefined) return `no telemetry of the category ${rule.category}`;
  const state = part.collectors.find((c) => c.collector === kind);
  if (!state) return `the agent did not say whether it collects ${kind}`;
  const lost = lostOf(part, kind);
  if (lost !== undefined) return `${kind}: ${lost}`;
  const missing = engine.missingFields(rule, state.missing_fields);
  if (missing.length > 0) return `${kind}: the agent could not read ${missing.join(", ")}: ${state.reason}`;
  if (part.closed_by === "silent") return "the host fell silent in the window";
  if (part.covered_from > part.window_start || part.covered_to < part.window_end) {
    return "the agent did not watch the whole window";
  }
  return undefined;
}

/** Rules over what nobody collects are judged here too, so that each host is told of them. */
function isJudgedHere(rule: Rule, rules: RuleSet): boolean {
  if (rule.category === "flow" || sectionOf(rule.category, rule.service) !== undefined) return false;
  return rules.told.has(rule.id) || (kindOfCategory[rule.category] !== undefined && rule.scope !== "assessment");
}

function judge(engine: Engine, rule: Rule, part: HostWindow, matched: boolean, cut: boolean): Judged {
  if (matched) {
    return { outcome: "match", reason: cut ? `more findings than the limit of ${findings_max} on one host` : "" };
  }
  const reason = incomplete(engine, rule, part);
  return reason === undefined ? { outcome: "clear", reason: "" } : { outcome: "insufficient_evidence", reason };
}

function resolveUnseen(host: HostEntry, rule: Rule, sightings: Sightings, part: HostWindow, write: Write): void {
  for (const [id, finding] of Object.entries(host.findings)) {
    if (finding.rule_id !== rule.id || finding.status !== "active" || sightings.has(id)) continue;
    settle(id, finding, "resolved", "a complete window no longer shows it", part.window_end, write);
  }
}
