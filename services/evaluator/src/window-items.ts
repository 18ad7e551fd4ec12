/** What a host window holds that rules are asked of, each with when it was seen and what to show of it as evidence. */

import type { EvidenceItem } from "@assay/rules/rule";
import type {
  ConnectionObservation,
  EventTimes,
  HostWindow,
  ListenerObservation,
  ProcessObservation,
} from "@assay/schemas/generated/types";
import type { TelemetryKind } from "@assay/schemas/kinds";
import type { Engine } from "./engine";
import type { EvidenceJson } from "./evidence-json";

export interface WindowItem {
  readonly item: EvidenceItem;
  readonly times: Pick<EventTimes, "count" | "first" | "last">;
  /** Made where it is asked for: most items match nothing. */
  readonly evidence: () => EvidenceJson;
}

/** The categories of this stage, and the kind of telemetry that each is made of. */
export const kindOfCategory: Readonly<Record<string, TelemetryKind | undefined>> = {
  process_creation: "processes",
  network_connection: "connections",
  listener: "listeners",
};

export function* windowItems(engine: Engine, part: HostWindow): Generator<WindowItem> {
  for (const o of part.processes) yield { item: engine.process(o), times: o.times, evidence: () => processEvidence(o) };
  for (const o of part.connections) yield { item: engine.connection(o), times: o.times, evidence: () => connectionEvidence(o) };
  for (const o of part.listeners) yield { item: engine.listener(o), times: o.times, evidence: () => listenerEvidence(o) };
}

export function listenerEvidence(o: ListenerObservation): EvidenceJson {
  const { times, tls, ...facts } = o;
  return { kind: "listener", ...facts, ...(tls ? { tls: { ...tls } } : {}), ...seen(times) };
}

function processEvidence(o: ProcessObservation): EvidenceJson {
  const { times, ...facts } = o;
  return { kind: "process", ...facts, ...seen(times) };
}

function connectionEvidence(o: ConnectionObservation): EvidenceJson {
  const { times, ...facts } = o;
  return { kind: "connection", ...facts, ...seen(times) };
}

function seen(times: EventTimes): EvidenceJson {
  return { first: times.first, last: times.last, count: times.count };
}
