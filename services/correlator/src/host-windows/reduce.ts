/**
 * The host-window stage: telemetry in, host windows out. A host's windows close on its own completeness and on nothing else, so they
 * are a function of its own records alone:
 *
 *   batch at or below the mark ──────────────► seen before: duplicates, counted in the host's next part
 *                                              not seen (replayed): counts with the host's next batch (late-batches.ts)
 *   event in a window that has closed ───────► supplement, cut at once
 *   event in an open window ─────────────────► waits; the window closes when complete_through ≥ its end + lateness,
 *                                              or when the host is silent (HostSilent)
 *
 * Parts leave with growing (incarnation, seq_to, window_start).
 */
import type { Codec } from "@assay/schemas/codec";
import type { CollectorState, Drop, HostSilent, HostWindow, TelemetryBatch } from "@assay/schemas/generated/types";
import { telemetryKinds } from "@assay/schemas/kinds";
import { topics } from "@assay/schemas/topics";
import type { LogRecord, NewRecord } from "@assay/stream/log";
import { contribute, noteSilence } from "../applications/contribute";
import { bucketOf } from "../bucket";
import { deadLetter, unexpected } from "../dead-letter";
import { record_bytes_max } from "../fit";
import { clockOffset } from "./clock";
import { closePart, fitPart, type Membership } from "./close-part";
import { fillGap, isBehind, isMissing, late_bytes_max, noteGap, waitingBytes } from "./late-batches";
import { noListeners, noteListener, noteUse } from "./listeners-in-use";
import {
  addConnection,
  addListener,
  addProcess,
  extendCoverage,
  noteCollectors,
  type OpenWindow,
  openWindow,
  zeroByKind,
} from "./open-window";
import type { HostState, PartitionState } from "./state";

export interface HostWindowSettings {
  readonly window_ms: number;
  readonly lateness_ms: number;
}

/** Windows without events that one batch may open: an agent that claims to have watched for longer leaves a gap in coverage. */
export const quiet_windows_per_batch_max = 1_000;
/** A time this far past its batch's acceptance can't be right; it is moved back to there. */
const future_ms_max = 5_000;
/** The kind of a drop that took something of every kind. */
const whole_batches = "batches";

export function reduceTelemetry(
  state: PartitionState,
  record: LogRecord,
  outputs: NewRecord[],
  codec: Codec,
  membership: Membership,
  settings: HostWindowSettings,
): void {
  if (!record.value) return;
  const decoded = codec.decode(record.value);
  if (decoded.name !== "TelemetryBatch" && decoded.name !== "HostSilent") {
    outputs.push(unexpected(codec, record, decoded));
    return;
  }
  const key = record.key?.toString() ?? "";
  if (decoded.value.host_id !== key) {
    const detail = `a record of host ${decoded.value.host_id} under the key ${key}`;
    outputs.push(deadLetter(codec, record, "wrong_host", detail));
    return;
  }
  const emit = (host: HostState, closed: HostWindow) => {
    let part = closed;
    let value = codec.encode("HostWindow", part);
    if (value.length > record_bytes_max) {
      part = fitPart(closed);
      value = codec.encode("HostWindow", part);
    }
    outputs.push({ topic: topics.hostWindows.name, key: host.host_id, value, timestamp: record.timestamp });
    contribute(state.contributions, part, host.closed_through);
  };
  if (decoded.name === "HostSilent") applySilence(state, decoded.value, membership, settings, emit);
  else if (!applyBehind(state, decoded.value, record, outputs, codec)) {
    applyBatch(state, decoded.value, record.timestamp, codec, membership, settings, emit);
  }
  outputs.push(...state.contributions.take(codec, state.partition, record.offset + 1, record.timestamp, settings.window_ms));
}

type Emit = (host: HostState, part: HostWindow) => void;

/** Whether the batch is at or below its host's mark, and with that dealt with. */
function applyBehind(
  state: PartitionState,
  batch: TelemetryBatch,
  record: LogRecord,
  outputs: NewRecord[],
  codec: Codec,
): boolean {
  const host = state.hosts.get(batch.host_id);
  const place = [batch.incarnation, batch.seq] as const;
  if (!host || !isBehind(place, [host.incarnation, host.seq])) return false;
  state.dirty.add(bucketOf(host.host_id));
  if (!isMissing(host.gaps, place)) {
    for (const kind of telemetryKinds) host.duplicates[kind] += batch[kind].length;
    return true;
  }
  const wire = record.value?.toString("base64") ?? "";
  const waiting = waitingBytes(host.late) + wire.length;
  if (waiting > late_bytes_max) {
    const detail = `${waiting} bytes of late batches would wait for the host's next one, above the limit of ${late_bytes_max} (late_bytes_max); replay it after that`;
    outputs.push(deadLetter(codec, record, "out_of_bounds", detail));
    return true;
  }
  fillGap(host.gaps, place);
  host.late.push({ wire, received_at: record.timestamp });
  host.drops.push(...batch.drops);
  return true;
}

function applyBatch(
  state: PartitionState,
  batch: TelemetryBatch,
  received_at: number,
  codec: Codec,
  membership: Membership,
  settings: HostWindowSettings,
  emit: Emit,
): void {
  const host = state.hosts.get(batch.host_id) ?? newHost(batch);
  state.hosts.set(host.host_id, host);
  state.dirty.add(bucketOf(host.host_id));
  noteGap(host.gaps, [host.incarnation, host.seq], [batch.incarnation, batch.seq]);
  host.clock_offset_ms = clockOffset(host.clock_offset_ms, batch.sent_at, received_at);
  const observed_from = batch.observed_from + host.clock_offset_ms;
  const complete_through = Math.min(batch.complete_through + host.clock_offset_ms, received_at + future_ms_max);
  const told_through = host.complete_through;
  const watched_from = lostBatches(host, batch) ? complete_through : observed_from;
  if (watched_from > told_through) host.covered_since = watched_from;
  Object.assign(host, {
    host_name: batch.host_name,
    agent_version: batch.agent_version,
    agent_tags: batch.tags,
    incarnation: batch.incarnation,
    seq: batch.seq,
    received_at,
    silent: false,
    complete_through: Math.max(told_through, complete_through),
  });
  host.drops.push(...batch.drops);

  openCovered(host, Math.max(observed_from, host.covered_since), complete_through, settings.window_ms);
  const supplements = watchedInSilence(host, Math.max(told_through, watched_from), complete_through, settings.window_ms);
  addEvents(host, batch, host.clock_offset_ms, received_at, settings.window_ms, supplements);
  for (const late of host.late.splice(0)) {
    const decoded = codec.decode(Buffer.from(late.wire, "base64"));
    if (decoded.name !== "TelemetryBatch") continue; // it was one when it came
    const offset_ms = clockOffset(0, decoded.value.sent_at, late.received_at);
    addEvents(host, decoded.value, offset_ms, late.received_at, settings.window_ms, supplements);
  }
  const byStart = (a: OpenWindow, b: OpenWindow) => a.start - b.start;
  const lossy = batch.drops.flatMap(lossyCollectors);
  const noteAll = (window: OpenWindow) => {
    noteCollectors(window, batch.collectors);
    if (window.start + settings.window_ms > told_through) noteCollectors(window, lossy);
  };
  for (const supplement of [...supplements.values()].sort(byStart)) {
    noteAll(supplement);
    emit(host, closePart(host, supplement, "supplement", membership, settings.window_ms));
  }
  for (const window of Object.values(host.open).sort(byStart)) {
    noteAll(window);
    if (window.start + settings.window_ms + settings.lateness_ms > host.complete_through) continue;
    close(host, window, "complete", membership, settings.window_ms, emit);
  }
}

function applySilence(
  state: PartitionState,
  silent: HostSilent,
  membership: Membership,
  settings: HostWindowSettings,
  emit: Emit,
): void {
  const host = state.hosts.get(silent.host_id);
  if (!host || host.silent || host.incarnation !== silent.incarnation || host.seq !== silent.seq) return;
  state.dirty.add(bucketOf(host.host_id));
  host.silent = true;
  for (const window of Object.values(host.open).sort((a, b) => a.start - b.start)) {
    close(host, window, "silent", membership, settings.window_ms, emit);
  }
  noteSilence(state.contributions, host.host_id);
}

function close(
  host: HostState,
  window: OpenWindow,
  by: "complete" | "silent",
  membership: Membership,
  window_ms: number,
  emit: Emit,
): void {
  delete host.open[window.start];
  host.closed_through = Math.max(host.closed_through, window.start + window_ms);
  emit(host, closePart(host, window, by, membership, window_ms));
}

/**
 * Whether batches between the last one and this one never came: the agent's spool was full, or they were refused. What they told
 * of is unknown, so nothing before this batch's end counts as watched. The agent's word of it in drops may come much later.
 */
function lostBatches(host: HostState, batch: TelemetryBatch): boolean {
  return batch.seq > (batch.incarnation === host.incarnation ? host.seq : 0) + 1;
}

/** What was dropped since the batch before may be of any window that is open since: each shows that it isn't whole. */
function lossyCollectors(drop: Drop): CollectorState[] {
  const lossy = drop.kind === whole_batches ? telemetryKinds : telemetryKinds.filter((kind) => kind === drop.kind);
  const reason = `telemetry was dropped by the agent: ${drop.reason}`;
  return drop.count > 0 ? lossy.map((collector) => ({ collector, status: "partial", reason, missing_fields: [] })) : [];
}

/** Opens the windows that the agent says it has watched, so that a quiet window is told apart from an unwatched one. */
function openCovered(host: HostState, observed_from: number, complete_through: number, window_ms: number): void {
  const edge = (at: number) => Math.floor(at / window_ms) * window_ms;
  const last = edge(complete_through - 1);
  const first = Math.max(edge(observed_from), host.closed_through, last - (quiet_windows_per_batch_max - 1) * window_ms);
  for (let start = first; start <= last; start += window_ms) {
    const window = windowAt(host, start);
    extendCoverage(window, observed_from, complete_through, window_ms);
  }
}

function windowAt(host: HostState, start: number): OpenWindow {
  const known = host.open[start];
  if (known) return known;
  const fresh = openWindow(start, host.incarnation, host.seq);
  host.open[start] = fresh;
  return fresh;
}

/**
 * Supplements, by window start, of windows that silence closed before the agent had told all of them, and that it says to have
 * watched during [from, to): a host that spooled in the meantime has no gap.
 */
function watchedInSilence(host: HostState, from: number, to: number, window_ms: number): Map<number, OpenWindow> {
  const supplements = new Map<number, OpenWindow>();
  const end = Math.min(to, host.closed_through);
  for (let start = Math.floor(from / window_ms) * window_ms; start < end; start += window_ms) {
    const supplement = openWindow(start, host.incarnation, host.seq);
    extendCoverage(supplement, from, end, window_ms);
    supplements.set(start, supplement);
  }
  return supplements;
}

/** Puts each event into its open window, or into the supplement of a window that has closed; both of the host's newest batch. */
function addEvents(
  host: HostState,
  batch: TelemetryBatch,
  clock_offset_ms: number,
  received_at: number,
  window_ms: number,
  supplements: Map<number, OpenWindow>,
): void {
  const latest = received_at + future_ms_max;
  const place = (agent_time: number): { at: number; window: OpenWindow } => {
    const at = Math.min(agent_time + clock_offset_ms, latest);
    const start = Math.floor(at / window_ms) * window_ms;
    let window = start + window_ms <= host.closed_through ? supplements.get(start) : windowAt(host, start);
    if (!window) {
      window = openWindow(start, host.incarnation, host.seq);
      supplements.set(start, window);
    }
    window.received_through = Math.max(window.received_through, received_at);
    return { at, window };
  };
  for (const event of batch.processes) {
    const { at, window } = place(event.at);
    addProcess(window, event, at);
  }
  for (const event of batch.connections) {
    const { at, window } = place(event.at);
    addConnection(window, event, at);
    noteUse(host.in_use, event, at);
  }
  for (const event of batch.listeners) {
    const { at, window } = place(event.at);
    addListener(window, event, at);
    noteListener(host.in_use, event, at, host.covered_since);
  }
}

function newHost(batch: TelemetryBatch): HostState {
  return {
    host_id: batch.host_id,
    host_name: batch.host_name,
    agent_version: batch.agent_version,
    agent_tags: {},
    incarnation: 0,
    seq: 0,
    received_at: 0,
    clock_offset_ms: 0,
    covered_since: 0,
    complete_through: 0,
    closed_through: 0,
    silent: false,
    open: {},
    duplicates: zeroByKind(),
    drops: [],
    in_use: noListeners(),
    gaps: [],
    late: [],
  };
}
