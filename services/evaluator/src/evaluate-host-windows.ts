/**
 * Host windows → outcomes and findings of rules over processes, connections and listeners, and the hosts' coverage.
 *
 * A part at or below the host's mark is a repeat and dropped. Order within one part: coverage, rules of the window, rules of the
 * assessments that end with it, then what the passing of event time ends. Supplements may add matches, and end nothing.
 */
import type { HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Sink, Stage, StageLimits } from "@assay/stream/stage";
import { cover, coverageRow, noCoverage } from "./coverage";
import { evaluateAssessments, noteSpans } from "./evaluate-assessments";
import { evaluateWindow } from "./evaluate-window";
import { expire, type Write } from "./findings";
import type { HostEntry, HostWindowsParts, HostWindowsState } from "./host-entry";
import { entryOf, keyedForm, noRules } from "./keyed-state";
import { type Output, row } from "./outputs";
import { readRecord } from "./read-record";
import { judgeFailures } from "./rule-failures";
import { adoptRules, endWithRules, noteRules } from "./rules-in-force";
import { stage_names } from "./stage-names";

const state_version = 1;

export function evaluateHostWindows(
  parts: HostWindowsParts,
  around: { readonly sink: Sink<Output>; readonly limits: StageLimits; readonly prepare: () => Promise<void> },
): Stage<HostWindowsState, Output> {
  return {
    name: stage_names.host_windows,
    input: topics.hostWindows.name,
    state: keyedForm<HostEntry>(state_version),
    reduce(state, record, outputs) {
      const part = readRecord(parts.codec, "HostWindow", record, outputs, ({ host_id }) => host_id);
      if (part) applyPart(parts, state, part, record.timestamp, outputs);
    },
    ...around,
  };
}

function applyPart(
  parts: HostWindowsParts,
  state: HostWindowsState,
  part: HostWindow,
  timestamp: number,
  outputs: Output[],
): void {
  const host = entryOf(state, part.host_id, newHost);
  const mark: HostEntry["mark"] = [part.incarnation, part.seq_to, part.window_start];
  if (!isAfter(mark, host.mark)) return;
  host.mark = mark;
  // What ends the host's time to be judged by is a window after the last one; anything else may only add.
  const late = part.closed_by === "supplement" || part.window_end <= host.event_time;
  const through = Math.max(host.event_time, part.window_end);
  outputs.push({ kind: "evaluated", subject: part.host_id, through, timestamp, received_through: part.received_through });
  outputs.push(row("coverage", coverageRow(part)));

  const rules = parts.rule_sets.at(part.window_end);
  noteRules(state, rules, parts.rule_sets, outputs);
  const write = writeOf(part, timestamp, outputs);
  if (!late) adoptRules(host, rules, part.window_end, write);
  if (!late) noteSpans(host.spans, part, host.event_time);
  cover(host.coverage, part);
  host.event_time = through;

  evaluateWindow(parts, rules, host, part, late, write);
  if (late) {
    endWithRules(host, rules, parts.rule_sets, host.event_time, write);
    return;
  }
  judgeFailures(rules, host.outcomes, { host_id: part.host_id, application_id: "", as_of: part.window_end }, outputs);
  evaluateAssessments(parts, rules, host, part, write);
  expire(host.findings, host.event_time, write);
}

function newHost(): HostEntry {
  return {
    mark: [-1, -1, -1],
    event_time: 0,
    coverage: noCoverage(),
    outcomes: {},
    findings: {},
    spans: [],
    rules: noRules(),
  };
}

function isAfter(mark: HostEntry["mark"], last: HostEntry["mark"]): boolean {
  for (const i of [0, 1, 2] as const) if (mark[i] !== last[i]) return mark[i] > last[i];
  return false;
}

function writeOf(part: HostWindow, timestamp: number, outputs: Output[]): Write {
  const applications = part.applications.map((a) => a.application_id);
  return {
    subject: { host_id: part.host_id, host_name: part.host_name, application_id: "", applications },
    timestamp,
    outputs,
  };
}
