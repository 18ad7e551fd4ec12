/**
 * Inventory sections → outcomes and findings of rules over a host's state, as of when it was collected, and each section's last
 * known content. A section no newer than the last one of its host is a repeat and dropped.
 *
 * A finding resolves only where a section was collected whole and no longer shows it, or where the thing itself is gone. What could
 * not be read, wholly or in part, ends nothing.
 */
import type { ControlView } from "@assay/control/follow";
import { memberships, selectableTags } from "@assay/control/select";
import type { Outcome } from "@assay/rules/rule";
import type { Codec } from "@assay/schemas/codec";
import type { InventorySection } from "@assay/schemas/generated/types";
import { sectionNames } from "@assay/schemas/inventory";
import { topics } from "@assay/schemas/topics";
import type { LogRecord } from "@assay/stream/log";
import type { Sink, Stage, StageLimits } from "@assay/stream/stage";
import { type Assemblies, assemble, assembling_wait_ms_max, bytesOf, takeUnfinished } from "./assemble-section";
import type { Engine, SectionJudgement } from "./engine";
import { type Findings, type Subject, see, settle, type Write } from "./findings";
import { entryOf, type KeyedState, keyedForm, noRules, type RulesInForce } from "./keyed-state";
import { type Outcomes, transition } from "./outcomes";
import { type Output, row } from "./outputs";
import { deadLetter, readRecord } from "./read-record";
import type { RuleSet, RuleSets } from "./rule-sets";
import { adoptRules, noteRules } from "./rules-in-force";
import { Sightings } from "./sightings";
import { stage_names } from "./stage-names";

/** A host's inventory, as it stands in a checkpoint. */
export interface InventoryEntry {
  sections: Record<string, { incarnation: number; collected_at: number; version: number }>;
  assemblies: Assemblies;
  outcomes: Outcomes;
  findings: Findings;
  rules: RulesInForce;
}
export type InventoryState = KeyedState<InventoryEntry>;

export interface InventoryParts {
  readonly codec: Codec;
  readonly engine: Engine;
  readonly rule_sets: RuleSets;
  readonly control: Pick<ControlView, "at" | "versionAt">;
}

const state_version = 1;
/** The agent's clock is corrected when it is off by more than this. */
const clock_tolerance_ms = 5_000;

export function evaluateInventory(
  parts: InventoryParts,
  around: { readonly sink: Sink<Output>; readonly limits: StageLimits; readonly prepare: () => Promise<void> },
): Stage<InventoryState, Output> {
  return {
    name: stage_names.inventory,
    input: topics.inventory.name,
    state: keyedForm<InventoryEntry>(state_version),
    reduce(state, record, outputs) {
      const section = readRecord(parts.codec, "InventorySection", record, outputs, ({ host_id }) => host_id);
      if (section) applyChunk(parts, state, section, record, outputs);
    },
    ...around,
  };
}

function applyChunk(
  parts: InventoryParts,
  state: InventoryState,
  chunk: InventorySection,
  record: LogRecord,
  outputs: Output[],
): void {
  if (!(sectionNames as readonly string[]).includes(chunk.section)) {
    outputs.push(deadLetter(record, "invalid_body", `no section is named ${chunk.section}`, chunk.host_id));
    return;
  }
  const collected_at = correctedTime(chunk, record.timestamp);
  if (chunk.collected_at > chunk.sent_at || collected_at < 0) {
    const detail = `collected_at ${chunk.collected_at}, sent_at ${chunk.sent_at}: it must be collected before it is sent`;
    outputs.push(deadLetter(record, "out_of_bounds", detail, chunk.host_id));
    return;
  }
  const entry = entryOf(state, chunk.host_id, newEntry);
  const last = entry.sections[chunk.section];
  if (last && (chunk.incarnation - last.incarnation || chunk.collected_at - last.collected_at) <= 0) return;
  const assembling_bytes = chunk.chunks > 1 ? sweep(state, record, outputs) : 0;
  const assembled = assemble(entry.assemblies, chunk, record, assembling_bytes);
  if (assembled.kind === "waiting") return;
  if (assembled.kind === "refused") {
    outputs.push(deadLetter(record, assembled.reason, assembled.detail, chunk.host_id));
    return;
  }
  const content = parse(chunk, assembled.content);
  if (content.kind === "unreadable") {
    outputs.push(deadLetter(record, "invalid_body", content.detail, chunk.host_id));
    return;
  }
  const { text, value } = content;
  applySection(parts, state, entry, { section: chunk, collected_at, text, value }, record.timestamp, outputs);
}

interface WholeSection {
  readonly section: InventorySection;
  /** By the log's clock, where the agent's is off. */
  readonly collected_at: number;
  readonly text: string;
  readonly value: unknown;
}

function applySection(
  parts: InventoryParts,
  state: InventoryState,
  entry: InventoryEntry,
  whole: WholeSection,
  timestamp: number,
  outputs: Output[],
): void {
  const { section, collected_at, text, value } = whole;
  const version = Math.max((entry.sections[section.section]?.version ?? 0) + 1, timestamp);
  entry.sections[section.section] = { incarnation: section.incarnation, collected_at: section.collected_at, version };
  outputs.push({ kind: "evaluated", subject: section.host_id, through: collected_at, timestamp, received_through: timestamp });
  outputs.push(row("inventory_sections", sectionRow(section, collected_at, text, version)));

  // By the log's time, which a replay has too: an agent whose clock is a little behind would ask for the rules before the newest.
  const rules = parts.rule_sets.at(timestamp);
  noteRules(state, rules, parts.rule_sets, outputs);
  const write: Write = { subject: subjectOf(parts, section, collected_at), timestamp, outputs };
  adoptRules(entry, rules, collected_at, write);
  for (const judgement of parts.engine.judgeSection(rules, section, value)) {
    applyJudgement(parts, rules, entry, whole, judgement, write);
  }
}

function applyJudgement(
  parts: InventoryParts,
  rules: RuleSet,
  entry: InventoryEntry,
  { section, collected_at, value }: WholeSection,
  { rule, judged, matches }: SectionJudgement,
  write: Write,
): void {
  const sightings = new Sightings(parts.engine, "host", section.host_id);
  for (const item of matches) {
    const times = { count: 1, first: collected_at, last: collected_at };
    const evidence = () => ({ kind: item.category, section: section.section, ...item.fields });
    sightings.add({ rule, item, times, evidence });
  }
  const seen = { ruleset: rules.digest, at: collected_at, until: collected_at, late: false };
  for (const sighting of sightings.all({ ...seen, occurrences: () => "once" })) see(entry.findings, sighting, write);
  const of = { rule, ruleset: rules.digest, host_id: section.host_id, application_id: "", as_of: collected_at, late: false };
  transition(entry.outcomes, judged, of, write.outputs);

  const gone = goneReason(parts.engine, section, value, judged.outcome);
  if (gone === undefined) return;
  for (const [id, finding] of Object.entries(entry.findings)) {
    if (finding.rule_id !== rule.id || finding.status !== "active" || sightings.has(id)) continue;
    settle(id, finding, "resolved", gone, collected_at, write);
  }
}

function goneReason(engine: Engine, section: InventorySection, value: unknown, outcome: Outcome): string | undefined {
  if (section.status === "absent") return `${section.section} is no longer on this host`;
  const decided = outcome === "match" || outcome === "clear" || outcome === "not_applicable";
  return decided && engine.isWhole(section, value) ? "the inventory no longer shows it" : undefined;
}

/** Which applications cover the host; what its agent says of itself isn't known here, so selectors on agent: tags see none. */
function subjectOf(parts: InventoryParts, section: InventorySection, at: number): Subject {
  const { host_id, host_name } = section;
  const operators = parts.control.versionAt("host", host_id, at)?.value.tags ?? {};
  const covering = memberships(parts.control.at("application", at), selectableTags(host_id, host_name, operators, {}));
  return { host_id, host_name, application_id: "", applications: covering.map((m) => m.application_id) };
}

/** Drops assemblies of the whole partition that nobody finished; returns the bytes of the others. */
function sweep(state: InventoryState, record: LogRecord, outputs: Output[]): number {
  let bytes = 0;
  for (const [bucket, entries] of state.buckets.entries()) {
    for (const [host_id, entry] of entries) {
      for (const { section, assembly } of takeUnfinished(entry.assemblies, record.timestamp)) {
        state.dirty.add(bucket);
        const came = assembly.chunks.filter((c) => c !== null).length;
        const detail = `${came} of ${assembly.chunks.length} chunks of ${section} came within ${assembling_wait_ms_max} ms`;
        const first = { ...record, offset: assembly.offset, timestamp: assembly.begun_at, key: null, value: null };
        outputs.push(deadLetter(first, "invalid_body", detail, host_id));
      }
      bytes += bytesOf(entry.assemblies);
    }
  }
  return bytes;
}

type Parsed =
  | { readonly kind: "content"; readonly text: string; readonly value: unknown }
  | { readonly kind: "unreadable"; readonly detail: string };

function parse(section: InventorySection, content: Buffer): Parsed {
  const text = content.toString("utf8");
  const shows = section.status === "collected" || section.status === "partial";
  if (text === "" && !shows) return { kind: "content", text, value: undefined };
  try {
    return { kind: "content", text, value: JSON.parse(text) as unknown };
  } catch (error) {
    return { kind: "unreadable", detail: `${section.section} isn't JSON: ${(error as Error).message}` };
  }
}

function correctedTime(section: InventorySection, accepted_at: number): number {
  const offset_ms = accepted_at - section.sent_at;
  return Math.abs(offset_ms) > clock_tolerance_ms ? section.collected_at + offset_ms : section.collected_at;
}

function sectionRow(section: InventorySection, collected_at: number, content: string, version: number) {
  const { host_id, host_name, section: name, status, reason, digest } = section;
  return { host_id, host_name, section: name, status, reason, digest, collected_at, content, version };
}

function newEntry(): InventoryEntry {
  return { sections: {}, assemblies: {}, outcomes: {}, findings: {}, rules: noRules() };
}
