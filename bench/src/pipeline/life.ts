/**
 * What a host does in life, as telemetry: it repeats itself. In each window of its own it shows `distinct` observations, of which `flows` are
 * connections and the others processes and a listener; a share of the command lines has never been seen before, on any host.
 *
 * All of it follows from the host's number, so that two runs load the same.
 */

import { seeded } from "@assay/cli/scenarios/seeded";
import { connectionEvent, listenerEvent, processEvent } from "@assay/cli/scenarios/synthetic-host";
import type { Codec } from "@assay/schemas/codec";
import type { ConnectionEvent, ListenerEvent, ProcessEvent, TelemetryBatch } from "@assay/schemas/generated/types";

export interface Life {
  readonly distinct: number;
  readonly flows: number;
  readonly command_line_bytes: number;
  /** Of the distinct observations of a window, those whose command line is new. */
  readonly unique_share: number;
  readonly window_ms: number;
  readonly batch_ms: number;
  readonly events_per_batch: number;
}

export interface PlannedBatch {
  /** From the run's start until the batch is to be sent. */
  readonly due_ms: number;
  readonly seq: number;
  readonly events: number;
  /** With sent_at as planned: `stampSentAt` sets the true one. */
  readonly wire: Buffer;
  /** Event times of shells started by a network service, of which each is to become an occurrence of that finding. */
  readonly marked_at: readonly number[];
}

/** Event times begin at run_start (milliseconds since 1970). */
export function planHost(host: number, life: Life, run_start: number, run_ms: number, codec: Codec): PlannedBatch[] {
  const random = seeded(host + 1);
  const host_id = hostId(host);
  const address = `10.${Math.floor(host / 62_500)}.${Math.floor(host / 250) % 250}.${1 + (host % 250)}`;
  const marked_ms = random.between(0, Math.max(1, run_ms - life.batch_ms));
  const first_ms = random.between(0, life.batch_ms);
  const batches: PlannedBatch[] = [];
  for (let seq = 1, end_ms = first_ms; end_ms <= run_ms; seq++, end_ms += life.batch_ms) {
    const from_ms = Math.max(0, end_ms - life.batch_ms);
    const batch = emptyBatch(host_id, run_start, seq, run_start + end_ms);
    const marked_at: number[] = [];
    for (let i = 0; i < life.events_per_batch; i++) {
      const at = run_start + from_ms + Math.floor(((end_ms - from_ms) * i) / life.events_per_batch);
      addEvent(batch, at, i, address, life, random);
    }
    if (marked_ms >= from_ms && marked_ms < end_ms) {
      const shell = { image: "/bin/sh", command_line: "sh -c id", parent_image: "/usr/sbin/nginx", parent_listens: [80] };
      batch.processes.push(processEvent(run_start + marked_ms, shell));
      marked_at.push(run_start + marked_ms);
    }
    const events = batch.processes.length + batch.connections.length + batch.listeners.length;
    batches.push({ due_ms: end_ms, seq, events, wire: codec.encode("TelemetryBatch", batch), marked_at });
  }
  return batches;
}

/** An empty batch that tells that all before this time is told, so that the windows before it close. */
export function closingBatch(host: number, run_start: number, seq: number, now: number, codec: Codec): Buffer {
  return codec.encode("TelemetryBatch", emptyBatch(hostId(host), run_start, seq, now));
}

export function hostId(host: number): string {
  return `bench-${String(host).padStart(5, "0")}`;
}

function addEvent(
  batch: Mutable,
  at: number,
  i: number,
  address: string,
  life: Life,
  random: { between(from: number, to: number): number; next(): number },
): void {
  const { distinct, flows, unique_share, window_ms } = life;
  // Nine of twenty events are connections, one a listener, ten processes.
  const kind = i % 20;
  if (kind < 9) {
    const peer = `198.51.100.${1 + random.between(0, flows)}`;
    batch.connections.push(connectionEvent(at, address, random.between(30_000, 60_000), peer, 443));
  } else if (kind === 9) batch.listeners.push(listenerEvent(at));
  else {
    const command = random.between(0, distinct - flows - 1);
    // The last so many commands of a window are that window's own.
    const unique = command >= distinct - flows - 1 - Math.round(distinct * unique_share);
    const what = unique ? `${batch.host_id}-${Math.floor(at / window_ms)}-${command}` : String(command);
    const command_line = `/usr/bin/app --job ${what} `.padEnd(life.command_line_bytes, "x");
    batch.processes.push(processEvent(at, { command_line }));
  }
}

type Mutable = TelemetryBatch & { processes: ProcessEvent[]; connections: ConnectionEvent[]; listeners: ListenerEvent[] };

function emptyBatch(host_id: string, run_start: number, seq: number, now: number): Mutable {
  return {
    host_id,
    host_name: host_id,
    agent_version: "bench",
    incarnation: run_start,
    seq,
    sent_at: now,
    observed_from: run_start,
    complete_through: now,
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: ["processes", "connections", "listeners"].map((collector) => ({
      collector,
      status: "ok",
      reason: "",
      missing_fields: [],
    })),
    drops: [],
  };
}
