/**
 * Application windows → outcomes and findings of flow rules. A window comes again with a newer revision when a host told of it later:
 * what a finding counted in it before is remembered, so a revision adds just the difference. An older or equal revision is a repeat.
 *
 * A flow's finding is on its source host where that has an agent, else on the application; either way within this application.
 */

import type { Rule } from "@assay/rules/rule";
import type { Codec } from "@assay/schemas/codec";
import type { ApplicationHost, ApplicationWindow, Flow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { LogRecord } from "@assay/stream/log";
import type { Sink, Stage, StageLimits } from "@assay/stream/stage";
import { lacksWholeEvents } from "./coverage";
import type { Engine } from "./engine";
import { expire, type Findings, type Sighting, see, type Write } from "./findings";
import { entryOf, type KeyedState, keyedForm, noRules, type RulesInForce } from "./keyed-state";
import { type Judged, type Outcomes, transition } from "./outcomes";
import type { Output } from "./outputs";
import { deadLetter, readRecord } from "./read-record";
import type { RuleSet, RuleSets } from "./rule-sets";
import { adoptRules, endWithRules, noteRules } from "./rules-in-force";
import { Sightings } from "./sightings";
import { stage_names } from "./stage-names";

/** A host in the application, or with an empty id the application itself. */
export interface Resource {
  host_id: string;
  host_name: string;
  outcomes: Outcomes;
  findings: Findings;
  rules: RulesInForce;
}

/** An application, as it stands in a checkpoint. */
export interface ApplicationEntry {
  /** Event time through which it has been evaluated. */
  event_time: number;
  /** By window start: the revision, and what each finding counted in it. */
  windows: Record<string, { revision: number; counted: Record<string, number> }>;
  /** By "/" and the host's id, so that an id is never a word that JavaScript's objects know. */
  resources: Record<string, Resource>;
}
export type ApplicationWindowsState = KeyedState<ApplicationEntry>;

export interface ApplicationWindowsParts {
  readonly codec: Codec;
  readonly engine: Engine;
  readonly rule_sets: RuleSets;
}

const state_version = 1;
/** Revisions of windows this far behind the newest are taken; the correlator sends none past it. */
export const revisions_horizon_ms = 86_400_000;

export function evaluateApplicationWindows(
  parts: ApplicationWindowsParts,
  around: { readonly sink: Sink<Output>; readonly limits: StageLimits; readonly prepare: () => Promise<void> },
): Stage<ApplicationWindowsState, Output> {
  return {
    name: stage_names.application_windows,
    input: topics.applicationWindows.name,
    state: keyedForm<ApplicationEntry>(state_version),
    reduce(state, record, outputs) {
      const window = readRecord(parts.codec, "ApplicationWindow", record, outputs, ({ application_id }) => application_id);
      if (window) applyWindow(parts, state, window, record, outputs);
    },
    ...around,
  };
}

function applyWindow(
  parts: ApplicationWindowsParts,
  state: ApplicationWindowsState,
  window: ApplicationWindow,
  record: LogRecord,
  outputs: Output[],
): void {
  const application = entryOf(state, window.application_id, newApplication);
  if (window.window_start < application.event_time - revisions_horizon_ms) {
    const detail = `a window that begins more than ${revisions_horizon_ms} ms before the newest, ${application.event_time}`;
    outputs.push(deadLetter(record, "out_of_bounds", detail, ""));
    return;
  }
  const known = application.windows[window.window_start];
  if (known && known.revision >= window.revision) return;
  const late = window.late || known !== undefined || window.window_end <= application.event_time;
  const counted = known?.counted ?? {};
  application.windows[window.window_start] = { revision: window.revision, counted };
  application.event_time = Math.max(application.event_time, window.window_end);
  forgetOld(application);
  const { timestamp } = record;
  const through = application.event_time;
  outputs.push({ kind: "evaluated", subject: window.application_id, through, timestamp, received_through: 0 });

  const rules = parts.rule_sets.at(window.window_end);
  noteRules(state, rules, parts.rule_sets, outputs);
  const flows = [...rules.rules.values()].filter((rule) => rule.category === "flow");
  const sightings = gather(parts.engine, rules, window);
  const hosts = new Map(window.hosts.map((host) => [host.host_id, host]));
  for (const host of window.hosts) resourceOf(application, host.host_id).host_name = host.host_name;
  for (const host_id of sightings.keys()) resourceOf(application, host_id);
  for (const resource of Object.values(application.resources)) {
    const { host_id } = resource;
    const write = writeOf(window, resource, timestamp, outputs);
    if (!late) adoptRules(resource, rules, window.window_end, write);
    const gathered = sightings.get(host_id);
    if (gathered) seeAll(resource.findings, gathered, counted, rules, window, late, write);
    judgeResource(parts.engine, flows, rules, resource, hosts.get(host_id), gathered, window, late, outputs);
    if (late) endWithRules(resource, rules, parts.rule_sets, application.event_time, write);
    else expire(resource.findings, application.event_time, write);
  }
}

function gather(engine: Engine, rules: RuleSet, window: ApplicationWindow): Map<string, Sightings> {
  const by_host = new Map<string, Sightings>();
  for (const flow of window.flows) {
    const item = engine.flow(flow);
    for (const rule of rules.matches(item)) {
      const host_id = flow.source.host_id;
      let sightings = by_host.get(host_id);
      if (!sightings) {
        const resource = host_id === "" ? window.application_id : `${window.application_id}/${host_id}`;
        sightings = new Sightings(engine, "application", resource);
        by_host.set(host_id, sightings);
      }
      sightings.add({ rule, item, times: flow, evidence: () => flowEvidence(flow) });
    }
  }
  return by_host;
}

function seeAll(
  findings: Findings,
  sightings: Sightings,
  counted: Record<string, number>,
  rules: RuleSet,
  window: ApplicationWindow,
  late: boolean,
  write: Write,
): void {
  const of = { ruleset: rules.digest, at: window.window_start, until: window.window_end, late };
  for (const sighting of sightings.all({ ...of, occurrences: () => "each" })) {
    const before = counted[sighting.finding_id];
    const more = sighting.occurrences - (before ?? 0);
    if (before !== undefined && more <= 0) continue;
    counted[sighting.finding_id] = sighting.occurrences;
    const added: Sighting = { ...sighting, occurrences: more };
    see(findings, added, write);
  }
}

function judgeResource(
  engine: Engine,
  flow_rules: readonly Rule[],
  rules: RuleSet,
  resource: Resource,
  host: ApplicationHost | undefined,
  sightings: Sightings | undefined,
  window: ApplicationWindow,
  late: boolean,
  outputs: Output[],
): void {
  const { host_id } = resource;
  if (!host && host_id !== "") return;
  for (const rule of flow_rules) {
    const matched = sightings?.matched.has(rule.id) ?? false;
    // The application itself is judged of what hosts can't be: once something was found there.
    if (host_id === "" && !matched && !resource.outcomes[rule.id]) continue;
    const hosts = host ? [host] : window.hosts;
    const judged = matched
      ? { outcome: "match" as const, reason: "" }
      : (rules.told.get(rule.id) ?? judgeUnmatched(engine, rule, hosts, window));
    const { application_id, window_end } = window;
    const of = { rule, ruleset: rules.digest, host_id, application_id, as_of: window_end, late };
    transition(resource.outcomes, judged, of, outputs);
  }
}

function judgeUnmatched(engine: Engine, rule: Rule, hosts: readonly ApplicationHost[], window: ApplicationWindow): Judged {
  for (const host of hosts) {
    const reason = incomplete(engine, rule, host, window);
    if (reason !== undefined) return { outcome: "insufficient_evidence", reason };
  }
  if (window.cut > 0) return { outcome: "insufficient_evidence", reason: "more flows than the limit of a window" };
  return { outcome: "clear", reason: "" };
}

function incomplete(engine: Engine, rule: Rule, host: ApplicationHost, window: ApplicationWindow): string | undefined {
  if (host.connections_status === "failed") return `connections: the collector failed: ${host.connections_reason}`;
  if (lacksWholeEvents(host.connections_status, host.missing_fields)) {
    return `connections: the agent could not see all: ${host.connections_reason}`;
  }
  const missing = engine.missingFields(rule, host.missing_fields);
  if (missing.length > 0) return `connections: the agent could not read ${missing.join(", ")}: ${host.connections_reason}`;
  const short = host.covered_from > window.window_start || host.covered_to < window.window_end;
  return short ? "the agent did not watch the whole window" : undefined;
}

function flowEvidence(flow: Flow) {
  const { source, destination, ...facts } = flow;
  return { kind: "flow", ...facts, source: { ...source }, destination: { ...destination } };
}

function resourceOf(application: ApplicationEntry, host_id: string): Resource {
  const known = application.resources[`/${host_id}`];
  if (known) return known;
  const made: Resource = { host_id, host_name: "", outcomes: {}, findings: {}, rules: noRules() };
  application.resources[`/${host_id}`] = made;
  return made;
}

function writeOf(window: ApplicationWindow, resource: Resource, timestamp: number, outputs: Output[]): Write {
  const { application_id } = window;
  const { host_id, host_name } = resource;
  const subject = {
    host_id,
    host_name,
    application_id: host_id === "" ? application_id : "",
    applications: [application_id],
  };
  return { subject, timestamp, outputs };
}

function forgetOld(application: ApplicationEntry): void {
  for (const start of Object.keys(application.windows)) {
    if (Number(start) < application.event_time - revisions_horizon_ms) delete application.windows[start];
  }
}

function newApplication(): ApplicationEntry {
  return { event_time: 0, windows: {}, resources: {} };
}
