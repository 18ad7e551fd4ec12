// Generated from schemas/avro by `npm run generate`. Don't edit.

export type CollectorStatus = "ok" | "partial" | "failed";

export interface ApplicationHost {
  host_id: string;
  host_name: string;
  tiers: string[];
  covered_from: number;
  covered_to: number;
  connections_status: CollectorStatus;
  connections_reason: string;
  missing_fields: string[];
  late_parts: number;
}

export type Transport = "tcp" | "udp";

export type Side = "source" | "destination";

export interface HostFlow {
  host_id: string;
  protocol: Transport;
  side: Side;
  source_address: string;
  destination_address: string;
  destination_port: number;
  pid: number;
  image: string;
  command_line: string;
  user: string;
  ancestors: string[];
  count: number;
  first: number;
  last: number;
}

export type Channel = "unknown" | "cleartext" | "tls";

export interface HostListener {
  host_id: string;
  protocol: Transport;
  address: string;
  port: number;
  image: string;
  command_line: string;
  user: string;
  application_protocol: string;
  channel: Channel;
  tls_version: string;
}

/** One telemetry partition's whole contribution to one application window. A newer revision replaces an older one of the same contributor, which makes merging associative, commutative and idempotent. */
export interface ApplicationPartial {
  application_id: string;
  application_version: number;
  window_start: number;
  window_end: number;
  /** Telemetry partition. */
  contributor: number;
  /** Grows with every change of this contribution. */
  revision: number;
  /** The contributor has closed every host window of this application that ends at or before this event time. */
  watermark: number;
  hosts: ApplicationHost[];
  flows: HostFlow[];
  listeners: HostListener[];
  /** Addresses seen as a host's own, by host id. */
  addresses: Record<string, string[]>;
  /** Flows past the limit. */
  cut: number;
}

export type NetworkScope = "loopback" | "link_local" | "container" | "private" | "public";

export interface Endpoint {
  /** Empty where the end is outside the application. */
  host_id: string;
  host_name: string;
  tier: string;
  address: string;
  scope: NetworkScope;
  pid: number;
  image: string;
  command_line: string;
  user: string;
  ancestors: string[];
}

export interface Flow {
  source: Endpoint;
  destination: Endpoint;
  protocol: Transport;
  destination_port: number;
  /** Of the listener, where an agent told it; else empty. */
  application_protocol: string;
  channel: Channel;
  tls_version: string;
  count_source: number;
  count_destination: number;
  /** The larger of the two. */
  count: number;
  first: number;
  last: number;
}

/** One application's topology in one window; a newer revision replaces an older one. */
export interface ApplicationWindow {
  application_id: string;
  application_version: number;
  window_start: number;
  window_end: number;
  revision: number;
  /** Not the first revision. */
  late: boolean;
  hosts: ApplicationHost[];
  flows: Flow[];
  cut: number;
}

export interface CheckpointChunk {
  stage: string;
  partition: number;
  epoch: number;
  bucket: number;
  /** Deflated JSON of the bucket's entries. */
  state: Buffer;
}

/** Written after its chunks. The epoch that counts is the one that the stage's committed note names. */
export interface CheckpointManifest {
  stage: string;
  partition: number;
  epoch: number;
  /** Next offset of the stage's input that is not in the state. */
  position: number;
  /** Of the state's form. */
  version: number;
  /** Per bucket, the epoch under which its chunk was written; 0 for an empty bucket. */
  buckets: number[];
}

/** What a user or a service asks of the coordinator. Typed in packages/control/src/commands.ts. */
export interface Command {
  command_id: string;
  at: number;
  /** Who asked: a key's name or a service. */
  by: string;
  type: string;
  /** JSON. */
  body: string;
}

/** One version of one entity, or an answer to a command. Written by the coordinator alone. Typed in packages/control/src/entities.ts. */
export interface ControlRecord {
  /** application, host, template, assessment, package, agent, key or answer. */
  kind: string;
  id: string;
  /** 1, 2, 3, … per entity. */
  version: number;
  at: number;
  /** Event time from which windows see this version: a window edge. */
  effective_from: number;
  /** The command that led to it; empty for the coordinator's own transitions. */
  command_id: string;
  /** JSON. */
  body: string;
}

/** A record that could not be used, with its original bytes. */
export interface DeadLetter {
  at: number;
  service: string;
  /** A word from a closed set; see schemas/src/dead-letter-reasons.ts. */
  reason: string;
  detail: string;
  /** Where it was, or was meant to go. */
  topic: string;
  /** -1 where it never reached the log. */
  partition: number;
  /** -1 where it never reached the log. */
  offset: number;
  /** Whose credential brought it; empty where not known. */
  host_id: string;
  key: null | Buffer;
  value: null | Buffer;
  record_timestamp: number;
}

export type FindingChange = "opened" | "reopened" | "changed" | "resolved" | "inactive" | "closed";

/** For integrations: a finding opened, changed or was resolved. */
export interface FindingEvent {
  finding_id: string;
  change: FindingChange;
  at: number;
  rule_id: string;
  severity: string;
  title: string;
  host_id: string;
  application_id: string;
  identity: Record<string, string>;
  status: string;
  first_seen: number;
  last_seen: number;
  occurrences: number;
}

/** Appended under the host's key by the owner of its partition when the host has been silent beyond its timeout. It counts only while no batch after (incarnation, seq) stands before it in the log. */
export interface HostSilent {
  host_id: string;
  incarnation: number;
  /** The last batch seen. */
  seq: number;
  /** Log timestamp of that batch. */
  silent_since: number;
  at: number;
  timeout_ms: number;
}

export type ClosedBy = "complete" | "silent" | "supplement";

export interface Membership {
  application_id: string;
  version: number;
  tiers: string[];
}

/** An assessment, or a round of a continuous one, that covers the host in this window. */
export interface AssessmentSpan {
  assessment_id: string;
  application_id: string;
  begins_at: number;
  ends_at: number;
}

export interface EventTimes {
  count: number;
  first: number;
  last: number;
  /** Unsigned LEB128 steps from the window's start, ascending; at most 4,096 of them. */
  deltas: Buffer;
  /** Past 4,096 events: counts of each second of the window, and deltas is empty. */
  per_second: number[];
}

export interface ProcessObservation {
  /** Of the first one; not part of the fold key. */
  pid: number;
  image: string;
  image_deleted: boolean;
  command_line: string;
  current_directory: string;
  user: string;
  parent_image: string;
  parent_command_line: string;
  parent_user: string;
  parent_listens: number[];
  ancestors: string[];
  started_at: number;
  already_running: boolean;
  times: EventTimes;
}

/** Folded over the source port. */
export interface ConnectionObservation {
  protocol: Transport;
  side: Side;
  source_address: string;
  destination_address: string;
  destination_port: number;
  pid: number;
  image: string;
  command_line: string;
  user: string;
  ancestors: string[];
  /** Distinct source ports seen. */
  connections: number;
  times: EventTimes;
}

export interface TlsFacts {
  version: string;
  cipher: string;
  certificate_subject: string;
  certificate_issuer: string;
  certificate_not_after: number;
  self_signed: boolean;
}

export interface ListenerObservation {
  protocol: Transport;
  address: string;
  port: number;
  pid: number;
  image: string;
  command_line: string;
  user: string;
  application_protocol: string;
  channel: Channel;
  tls: null | TlsFacts;
  /** Event time since when the agent has seen it without a gap in coverage. */
  observed_since: number;
  /** Latest event time of a connection to it; 0 for never since observed_since. */
  last_used_at: number;
  times: EventTimes;
}

export interface CollectorState {
  collector: string;
  status: CollectorStatus;
  reason: string;
  missing_fields: string[];
}

/** Of DESIGN's accounting: per kind, what this part holds. */
export interface KindCount {
  kind: string;
  /** Events in the part. */
  windowed: number;
  /** Of these, folded into an observation that stood already. */
  folded: number;
  /** Of these, counted but not kept, past the limit on observations. */
  cut: number;
  /** Events of repeated batches since the host's part before. */
  duplicates: number;
}

export interface Drop {
  kind: string;
  reason: string;
  count: number;
}

/** One part of a host window: its base, or a supplement (late). A part's id is (host_id, window_start, incarnation, seq_from, seq_to); parts of a host leave the correlator with growing (incarnation, seq_to, window_start), so a consumer that remembers the last one drops repeats. */
export interface HostWindow {
  host_id: string;
  host_name: string;
  agent_version: string;
  window_start: number;
  window_end: number;
  /** Of the batch at which the part was cut. */
  incarnation: number;
  /** First batch of that incarnation with a share in the part; 0 where an earlier incarnation has one too. */
  seq_from: number;
  /** The batch at which the part was cut. */
  seq_to: number;
  closed_by: ClosedBy;
  covered_from: number;
  /** The agent watched during [covered_from, covered_to) of the window. */
  covered_to: number;
  /** Added to the agent's times; 0 within 5 s. */
  clock_offset_ms: number;
  /** Latest log timestamp among the part's batches. */
  received_through: number;
  /** Operators' tags, and the agent's under agent:. */
  tags: Record<string, string>;
  applications: Membership[];
  assessments: AssessmentSpan[];
  processes: ProcessObservation[];
  connections: ConnectionObservation[];
  listeners: ListenerObservation[];
  /** The worst state of each collector in the window. */
  collectors: CollectorState[];
  counts: KindCount[];
  drops: Drop[];
}

export type SectionStatus = "collected" | "partial" | "absent" | "unreadable";

/** One section of a host's inventory, or one chunk of at most 512 KiB of it. Sent when its digest changes, when an assessment starts, and at least every 12 h. */
export interface InventorySection {
  host_id: string;
  host_name: string;
  incarnation: number;
  /** One of the sections of schemas/src/inventory.ts. */
  section: string;
  collected_at: number;
  sent_at: number;
  /** SHA-256, hex, of the whole content. */
  digest: string;
  /** absent: the thing isn't on this host (no sshd). partial, unreadable: reason says what could not be read. */
  status: SectionStatus;
  reason: string;
  /** From 0. */
  chunk: number;
  chunks: number;
  /** UTF-8 JSON, typed in schemas/src/inventory.ts; a slice of it where chunks > 1. */
  content: Buffer;
}

/** How far a stage has durably written its outputs, for the coordinator. */
export interface Progress {
  stage: string;
  partition: number;
  /** Next offset of the stage's input. */
  position: number;
  at: number;
  /** Event time through which each host (or application) that the stage's process has met has been evaluated. */
  hosts: Record<string, number>;
}

export interface ProcessEvent {
  at: number;
  pid: number;
  parent_pid: number;
  started_at: number;
  /** Ran before the agent did; at is when the agent first saw it. */
  already_running: boolean;
  /** Path of the executable; the first word of the command line where the link can't be read. */
  image: string;
  image_deleted: boolean;
  /** Secrets replaced by [REDACTED:<keyed hash>]. */
  command_line: string;
  current_directory: string;
  user: string;
  parent_image: string;
  parent_command_line: string;
  parent_user: string;
  /** TCP ports on which the parent listened when the process was seen. */
  parent_listens: number[];
  /** Command lines, parent first, at most 8. */
  ancestors: string[];
}

/** An open connection is told again in every window. */
export interface ConnectionEvent {
  at: number;
  /** When the agent first saw it. */
  opened_at: number;
  protocol: Transport;
  /** Which end this host is: source opened the connection. */
  side: Side;
  source_address: string;
  source_port: number;
  destination_address: string;
  destination_port: number;
  /** 0 where the owner isn't known. */
  pid: number;
  image: string;
  command_line: string;
  user: string;
  ancestors: string[];
}

/** An open listener is told again in every window. */
export interface ListenerEvent {
  at: number;
  protocol: Transport;
  /** 0.0.0.0 or :: for every address. */
  address: string;
  port: number;
  /** 0 where the owner isn't known. */
  pid: number;
  image: string;
  command_line: string;
  user: string;
  /** What it was heard to speak (http, ftp, ssh, smtp, …); empty where not known. */
  application_protocol: string;
  channel: Channel;
  tls: null | TlsFacts;
}

/** One agent's batch. An agent has one batch in flight, so seq grows without gaps within an incarnation unless the agent says in drops that it lost some. All times are milliseconds since 1970 UTC on the agent's clock. The time at which ingest accepted the batch is the log record's own timestamp, so that a trusted publisher's bytes and an ingested batch's bytes are the same. */
export interface TelemetryBatch {
  /** Lasting id of the host; also the record's key. */
  host_id: string;
  host_name: string;
  agent_version: string;
  /** Grows with each start of the agent process (its start time). */
  incarnation: number;
  /** 1, 2, 3, … within an incarnation. */
  seq: number;
  /** When this attempt left the agent; compared with the record's timestamp to correct the agent's clock. */
  sent_at: number;
  /** This incarnation has watched without a break since this event time. */
  observed_from: number;
  /** The agent has told everything with an event time before this one. */
  complete_through: number;
  /** What the agent says of itself; stands under agent: in selectors. */
  tags: Record<string, string>;
  processes: ProcessEvent[];
  connections: ConnectionEvent[];
  listeners: ListenerEvent[];
  collectors: CollectorState[];
  /** What the agent lost since the batch before. */
  drops: Drop[];
}

/** Every record that stands on a topic, by its schema's name. */
export interface SchemaTypes {
  readonly ApplicationPartial: ApplicationPartial;
  readonly ApplicationWindow: ApplicationWindow;
  readonly CheckpointChunk: CheckpointChunk;
  readonly CheckpointManifest: CheckpointManifest;
  readonly Command: Command;
  readonly ControlRecord: ControlRecord;
  readonly DeadLetter: DeadLetter;
  readonly FindingEvent: FindingEvent;
  readonly HostSilent: HostSilent;
  readonly HostWindow: HostWindow;
  readonly InventorySection: InventorySection;
  readonly Progress: Progress;
  readonly TelemetryBatch: TelemetryBatch;
}
