/** Records, rules and a stage's steps for tests: everything that a test doesn't name has a plain value. */
import { createHash } from "node:crypto";
import type { Rule } from "@assay/rules/rule";
import { Codec, folderIds, type SchemaName } from "@assay/schemas/codec";
import type {
  ApplicationHost,
  ApplicationWindow,
  ConnectionObservation,
  Flow,
  HostWindow,
  InventorySection,
  ListenerObservation,
  ProcessObservation,
  SchemaTypes,
} from "@assay/schemas/generated/types";
import type { LogRecord } from "@assay/stream/log";
import type { Stage } from "@assay/stream/stage";
import type { Output } from "../src/outputs";
import type { TableName, TableRows } from "../src/rows";

export const codec = new Codec(folderIds());
/** 2100-01-01T00:00:00Z: an edge of every window, and not past any retention. */
export const t0 = 4_102_444_800_000;
export const second = 1_000;
export const minute = 60_000;
export const hour = 3_600_000;
export const day = 24 * hour;

const times = (first: number, count = 1) => ({ count, first, last: first + count - 1, deltas: Buffer.alloc(0), per_second: [] });

export function process(at: number, over: Partial<ProcessObservation> = {}, count = 1): ProcessObservation {
  return {
    pid: 100,
    image: "/usr/bin/true",
    image_deleted: false,
    command_line: "true",
    current_directory: "/",
    user: "alice",
    parent_image: "/bin/bash",
    parent_command_line: "bash",
    parent_user: "alice",
    parent_listens: [],
    ancestors: ["bash", "sshd"],
    started_at: at,
    already_running: false,
    times: times(at, count),
    ...over,
  };
}

export function connection(at: number, over: Partial<ConnectionObservation> = {}): ConnectionObservation {
  return {
    protocol: "tcp",
    side: "source",
    source_address: "10.0.0.1",
    destination_address: "10.0.0.2",
    destination_port: 443,
    pid: 100,
    image: "/usr/bin/curl",
    command_line: "curl https://b",
    user: "alice",
    ancestors: [],
    connections: 1,
    times: times(at),
    ...over,
  };
}

export function listener(at: number, over: Partial<ListenerObservation> = {}): ListenerObservation {
  return {
    protocol: "tcp",
    address: "0.0.0.0",
    port: 8000,
    pid: 200,
    image: "/usr/bin/python3",
    command_line: "python3 -m http.server",
    user: "bob",
    application_protocol: "http",
    channel: "cleartext",
    tls: null,
    observed_since: t0,
    last_used_at: 0,
    times: times(at),
    ...over,
  };
}

/** The n-th base window of 10 s since t0, cut at batch n + 1. */
export function window(n: number, over: Partial<HostWindow> = {}): HostWindow {
  const window_start = t0 + n * 10 * second;
  const window_end = window_start + 10 * second;
  return {
    host_id: "host-a",
    host_name: "a.example",
    agent_version: "0.1.0",
    window_start,
    window_end,
    incarnation: 1,
    seq_from: n + 1,
    seq_to: n + 1,
    closed_by: "complete",
    covered_from: window_start,
    covered_to: window_end,
    clock_offset_ms: 0,
    received_through: window_end,
    tags: {},
    applications: [{ application_id: "shop", version: 1, tiers: [] }],
    assessments: [],
    processes: [],
    connections: [],
    listeners: [],
    collectors: ["processes", "connections", "listeners"].map((collector) => ({
      collector,
      status: "ok",
      reason: "",
      missing_fields: [],
    })),
    counts: [],
    drops: [],
    ...over,
  };
}

export function section(n: number, name: string, content: unknown, over: Partial<InventorySection> = {}): InventorySection {
  const bytes = Buffer.from(content === undefined ? "" : JSON.stringify(content));
  const collected_at = t0 + n * minute;
  return {
    host_id: "host-a",
    host_name: "a.example",
    incarnation: 1,
    section: name,
    collected_at,
    sent_at: collected_at,
    digest: createHash("sha256").update(bytes).digest("hex"),
    status: "collected",
    reason: "",
    chunk: 0,
    chunks: 1,
    content: bytes,
    ...over,
  };
}

export function flow(at: number, over: Partial<Flow> = {}): Flow {
  const end = {
    host_name: "",
    tier: "",
    scope: "private" as const,
    pid: 0,
    image: "",
    command_line: "",
    user: "",
    ancestors: [],
  };
  return {
    source: { ...end, host_id: "host-a", host_name: "a.example", address: "10.0.0.1", image: "/usr/bin/telnet", user: "alice" },
    destination: { ...end, host_id: "host-b", host_name: "b.example", address: "10.0.0.2" },
    protocol: "tcp",
    destination_port: 23,
    application_protocol: "telnet",
    channel: "cleartext",
    tls_version: "",
    count_source: 1,
    count_destination: 1,
    count: 1,
    first: at,
    last: at,
    ...over,
  };
}

export function applicationHost(host_id: string, n: number, over: Partial<ApplicationHost> = {}): ApplicationHost {
  const covered_from = t0 + n * 10 * second;
  return {
    host_id,
    host_name: `${host_id}.example`,
    tiers: [],
    covered_from,
    covered_to: covered_from + 10 * second,
    connections_status: "ok",
    connections_reason: "",
    missing_fields: [],
    late_parts: 0,
    ...over,
  };
}

export function applicationWindow(n: number, over: Partial<ApplicationWindow> = {}): ApplicationWindow {
  const window_start = t0 + n * 10 * second;
  return {
    application_id: "shop",
    application_version: 1,
    window_start,
    window_end: window_start + 10 * second,
    revision: 1,
    late: false,
    hosts: [applicationHost("host-a", n)],
    flows: [],
    cut: 0,
    ...over,
  };
}

export function rule(id: string, over: Partial<Rule> = {}): Rule {
  return {
    id,
    title: `title of ${id}`,
    description: "",
    author: "",
    severity: "medium",
    category: "process_creation",
    product: "linux",
    service: undefined,
    scope: "event",
    identity: [],
    remediation: "",
    references: [],
    tags: [],
    controls: {},
    platforms: ["linux"],
    package: "test",
    fields: ["Image"],
    source: `${id}.yml:1`,
    ...over,
  };
}

export function record<N extends SchemaName>(name: N, value: SchemaTypes[N], offset: number, timestamp: number): LogRecord {
  return {
    topic: "test",
    partition: 0,
    offset,
    key: Buffer.from(keyOf(name, value)),
    value: codec.encode(name, value),
    timestamp,
  };
}

function keyOf(name: SchemaName, value: object): string {
  const { host_id, application_id, section, chunk } = value as Partial<InventorySection & ApplicationWindow>;
  return name === "InventorySection" ? `${host_id}/${section}/${chunk}` : (host_id ?? application_id ?? "");
}

/** Drives a stage by hand; what it has put out so far stands in `outputs`. */
export class Steps<State> {
  state: State;
  readonly outputs: Output[] = [];
  private offset = 0;

  constructor(private readonly stage: Stage<State, Output>) {
    this.state = stage.state.empty(0);
  }

  /** Outputs of this one record. */
  apply<N extends SchemaName>(name: N, value: SchemaTypes[N], timestamp: number): readonly Output[] {
    return this.applyRecord(record(name, value, this.offset++, timestamp));
  }

  applyRecord(given: LogRecord): readonly Output[] {
    const outputs: Output[] = [];
    this.stage.reduce(this.state, given, outputs);
    this.outputs.push(...outputs);
    return outputs;
  }

  /** As a checkpoint does: through JSON and back. */
  reload(): void {
    const { state: form } = this.stage;
    const buckets = Array.from({ length: form.buckets }, (_, bucket) => form.snapshot(this.state, bucket));
    this.state = form.restore(
      0,
      buckets.map((b) => (b === undefined ? undefined : (JSON.parse(JSON.stringify(b)) as unknown))),
    );
  }
}

export function rowsOf<T extends TableName>(outputs: readonly Output[], table: T): TableRows[T][] {
  return outputs.flatMap((o) => (o.kind === "row" && o.table === table ? [o.row as unknown as TableRows[T]] : []));
}

export function eventsOf(outputs: readonly Output[]): string[] {
  return outputs.flatMap((o) => (o.kind === "finding_event" ? [o.event.change] : []));
}

/** The rows of the findings table after merging: the greatest version of each. */
export function mergedFindings(outputs: readonly Output[]): Map<string, TableRows["findings"]> {
  const merged = new Map<string, TableRows["findings"]>();
  for (const finding of rowsOf(outputs, "findings")) {
    const known = merged.get(finding.finding_id);
    if (!known || known.version < finding.version) merged.set(finding.finding_id, finding);
  }
  return merged;
}

/** Numbers in [0, 1) that are the same each time. */
export function seeded(seed: number): () => number {
  let s = seed * 7919 + 1;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}
