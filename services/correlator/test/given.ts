/** Literal records for the tests, with only what a test speaks of. */
import { Codec, folderIds } from "@assay/schemas/codec";
import type { ConnectionEvent, HostWindow, ListenerEvent, ProcessEvent, TelemetryBatch } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { LogRecord, NewRecord } from "@assay/stream/log";
import type { StateForm } from "@assay/stream/stage";
import type { Membership } from "../src/host-windows/close-part";
import { reduceTelemetry } from "../src/host-windows/reduce";
import { hostWindowState, type PartitionState } from "../src/host-windows/state";

export const codec = new Codec(folderIds());

export function processEvent(at: number, fields: Partial<ProcessEvent> = {}): ProcessEvent {
  return {
    at,
    pid: 1,
    parent_pid: 0,
    started_at: at,
    already_running: false,
    image: "/bin/true",
    image_deleted: false,
    command_line: "true",
    current_directory: "/",
    user: "root",
    parent_image: "",
    parent_command_line: "",
    parent_user: "",
    parent_listens: [],
    ancestors: [],
    ...fields,
  };
}

export function connectionEvent(at: number, fields: Partial<ConnectionEvent> = {}): ConnectionEvent {
  return {
    at,
    opened_at: at,
    protocol: "tcp",
    side: "source",
    source_address: "10.0.0.1",
    source_port: 40_000,
    destination_address: "10.0.0.2",
    destination_port: 5432,
    pid: 7,
    image: "/usr/bin/psql",
    command_line: "psql",
    user: "app",
    ancestors: [],
    ...fields,
  };
}

export function listenerEvent(at: number, fields: Partial<ListenerEvent> = {}): ListenerEvent {
  return {
    at,
    protocol: "tcp",
    address: "0.0.0.0",
    port: 5432,
    pid: 8,
    image: "/usr/bin/postgres",
    command_line: "postgres",
    user: "postgres",
    application_protocol: "postgresql",
    channel: "cleartext",
    tls: null,
    ...fields,
  };
}

export function batch(fields: Partial<TelemetryBatch> & Pick<TelemetryBatch, "seq">): TelemetryBatch {
  return {
    host_id: "h1",
    host_name: "host-1",
    agent_version: "0.1.0",
    incarnation: 1,
    sent_at: 0,
    observed_from: 0,
    complete_through: 0,
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
    ...fields,
  };
}

export const everything: Membership = (host, begins_at, ends_at) => ({
  tags: { host: host.host_id },
  applications: [{ application_id: "app", version: 1, tiers: [] }],
  assessments: [{ assessment_id: "a", application_id: "app", begins_at, ends_at }],
});

/** One telemetry partition, fed record by record. */
export class Partition {
  state: PartitionState;
  readonly outputs: NewRecord[] = [];
  private offset = 0;

  constructor(
    readonly settings: { window_ms: number; lateness_ms: number },
    restored?: PartitionState,
    private readonly membership = everything,
  ) {
    this.state = restored ?? hostWindowState.empty(0);
  }

  /** received_at: the log's timestamp; the batch's sent_at where left out, so that clocks agree. */
  tell(told: TelemetryBatch, received_at = told.sent_at): HostWindow[] {
    return this.feed({ key: told.host_id, value: codec.encode("TelemetryBatch", told), timestamp: received_at });
  }

  feed(record: { key: string; value: Buffer; timestamp: number }): HostWindow[] {
    const before = this.outputs.length;
    const full: LogRecord = {
      topic: topics.telemetry.name,
      partition: 0,
      offset: this.offset++,
      key: Buffer.from(record.key),
      value: record.value,
      timestamp: record.timestamp,
    };
    reduceTelemetry(this.state, full, this.outputs, codec, this.membership, this.settings);
    return windowsOf(this.outputs.slice(before));
  }

  windows(): HostWindow[] {
    return windowsOf(this.outputs);
  }

  private readonly checkpoint: unknown[] = new Array<unknown>(hostWindowState.buckets).fill(undefined);

  /** What a crash and a restore from a checkpoint make of the state. */
  restart(): void {
    this.state = checkpointed(hostWindowState, this.state, this.checkpoint);
  }
}

export function windowsOf(outputs: readonly NewRecord[]): HostWindow[] {
  return outputs.flatMap((o) => {
    if (o.topic !== topics.hostWindows.name || !o.value) return [];
    const decoded = codec.decode(o.value);
    return decoded.name === "HostWindow" ? [decoded.value] : [];
  });
}

export function windowed(part: HostWindow): number {
  return part.counts.reduce((total, c) => total + c.windowed, 0);
}

/** Writes the changed buckets into the checkpoint, as the loop does, and restores all of it. */
export function checkpointed<S>(form: StateForm<S>, state: S, checkpoint: unknown[]): S {
  for (const bucket of form.takeDirty(state)) {
    const snapshot = form.snapshot(state, bucket);
    checkpoint[bucket] = snapshot === undefined ? undefined : JSON.parse(JSON.stringify(snapshot));
  }
  return form.restore(0, structuredClone(checkpoint));
}
