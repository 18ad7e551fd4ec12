/**
 * What one telemetry partition contributes to its hosts' application windows. Its whole contribution to a window goes out as one
 * partial: when every live host of the application here has closed that window, and again, under a newer revision, whenever a
 * late part changes it. The revision is the position of the telemetry record that led to it, so a replay gives the same one.
 */
import type { Codec } from "@assay/schemas/codec";
import type { ApplicationHost, ApplicationPartial, HostFlow, HostListener, HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { NewRecord } from "@assay/stream/log";
import { windowBucketOf } from "../bucket";
import { fit, jsonBytes, record_bytes_max } from "../fit";

/**
 * Contributions kept for changes, behind the application's newest window. A part that is later still goes out as a partial that
 * holds it alone.
 */
export const contributions_kept_ms = 15 * 60_000;
/** Flows of one partition in one application window; what is past it is counted. */
export const flows_per_partial_max = 50_000;
/** Hosts that told nothing for this long no longer belong to an application's live hosts here. */
const member_kept_ms = 60 * 60_000;

export interface Contribution {
  readonly window_start: number;
  readonly window_end: number;
  version: number;
  hosts: Record<string, ApplicationHost>;
  flows: HostFlow[];
  listeners: HostListener[];
  addresses: Record<string, string[]>;
  cut: number;
  sent: boolean;
}

interface ApplicationState {
  /** End of the last window that each live member closed. */
  readonly members: Map<string, number>;
  windows: Record<string, Contribution>;
  newest: number;
}
/** As they stand in a checkpoint: what there is of each application beside its windows, and a bucket of windows. */
export type StoredMembers = Record<string, { members: Record<string, number>; newest: number }>;
export type StoredWindows = [application_id: string, window: Contribution][];

export class Contributions {
  /** Application windows changed by the record in hand. */
  private readonly changed = new Map<string, Set<number>>();

  private readonly dirty_windows = new Set<number>();
  private dirty_members = false;

  constructor(readonly applications: Map<string, ApplicationState>) {}

  /** What has changed since the last call, for a checkpoint: members, and buckets of windows. */
  takeDirty(): { readonly members: boolean; readonly windows: readonly number[] } {
    const dirty = { members: this.dirty_members, windows: [...this.dirty_windows] };
    this.dirty_windows.clear();
    this.dirty_members = false;
    return dirty;
  }

  touch(application_id: string, window_start: number | undefined): void {
    const starts = this.changed.get(application_id) ?? new Set();
    if (window_start !== undefined) {
      starts.add(window_start);
      this.dirty_windows.add(windowBucketOf(application_id, window_start));
    }
    this.dirty_members = true;
    this.changed.set(application_id, starts);
  }

  /** The partials that the record in hand brought about. */
  take(codec: Codec, contributor: number, revision: number, timestamp: number, window_ms: number): NewRecord[] {
    if (this.changed.size === 0) return [];
    const records: NewRecord[] = [];
    for (const [application_id, starts] of this.changed) {
      const application = this.applications.get(application_id);
      if (!application) continue;
      const watermark = watermarkOf(application);
      for (const window of Object.values(application.windows).sort((a, b) => a.window_start - b.window_start)) {
        const due = window.window_end <= watermark && (!window.sent || starts.has(window.window_start));
        if (!due) continue;
        window.sent = true;
        this.dirty_windows.add(windowBucketOf(application_id, window.window_start));
        const partial = partialOf(application_id, window, contributor, revision, watermark);
        records.push({
          topic: topics.applicationPartials.name,
          key: `${application_id}/${window.window_start}`,
          partition_key: application_id,
          value: encodePartial(codec, partial),
          timestamp,
        });
      }
      for (const start of forget(application, watermark, window_ms))
        this.dirty_windows.add(windowBucketOf(application_id, start));
    }
    this.changed.clear();
    return records;
  }
}

export function restoreContributions(stored: StoredMembers, windows: readonly StoredWindows[]): Contributions {
  const applications = new Map<string, ApplicationState>();
  for (const [id, { members, newest }] of Object.entries(stored)) {
    applications.set(id, { members: new Map(Object.entries(members)), windows: {}, newest });
  }
  for (const [id, window] of windows.flat()) {
    const application = applications.get(id);
    if (application) application.windows[window.window_start] = window;
  }
  return new Contributions(applications);
}

export function snapshotMembers({ applications }: Contributions): StoredMembers | undefined {
  if (applications.size === 0) return undefined;
  return Object.fromEntries(
    [...applications].map(([id, { members, newest }]) => [id, { members: Object.fromEntries(members), newest }]),
  );
}

export function snapshotWindows({ applications }: Contributions, bucket: number): StoredWindows | undefined {
  const stored: StoredWindows = [];
  for (const [id, { windows }] of applications) {
    for (const window of Object.values(windows)) {
      if (windowBucketOf(id, window.window_start) === bucket) stored.push([id, window]);
    }
  }
  return stored.length > 0 ? stored : undefined;
}

/** Adds a part to the windows of the applications that cover its host. */
export function contribute(contributions: Contributions, part: HostWindow, closed_through: number): void {
  if (part.closed_by !== "supplement") leave(contributions, part);
  for (const membership of part.applications) {
    const application = contributions.applications.get(membership.application_id) ?? emptyApplication();
    contributions.applications.set(membership.application_id, application);
    // A late part tells whose the host was, not whose it is.
    if (part.closed_by !== "supplement") application.members.set(part.host_id, closed_through);
    application.newest = Math.max(application.newest, part.window_end);
    const window = application.windows[part.window_start] ?? emptyContribution(part);
    application.windows[part.window_start] = window;
    window.version = Math.max(window.version, membership.version);
    addPart(window, part, membership.tiers);
    contributions.touch(membership.application_id, part.window_start);
  }
}

/** A silent host no longer holds the others' windows back. */
export function noteSilence(contributions: Contributions, host_id: string): void {
  for (const [application_id, application] of contributions.applications) {
    if (application.members.delete(host_id)) contributions.touch(application_id, undefined);
  }
}

/** Nor does one that is no longer selected. */
function leave(contributions: Contributions, { host_id, applications }: HostWindow): void {
  for (const [application_id, application] of contributions.applications) {
    if (!application.members.has(host_id) || applications.some((a) => a.application_id === application_id)) continue;
    application.members.delete(host_id);
    contributions.touch(application_id, undefined);
  }
}

function emptyApplication(): ApplicationState {
  return { members: new Map(), windows: {}, newest: 0 };
}

function emptyContribution(part: HostWindow): Contribution {
  const { window_start, window_end } = part;
  return { window_start, window_end, version: 0, hosts: {}, flows: [], listeners: [], addresses: {}, cut: 0, sent: false };
}

function addPart(window: Contribution, part: HostWindow, tiers: string[]): void {
  const { host_id } = part;
  const known = ownValue(window.hosts, host_id);
  const late = part.closed_by === "supplement";
  const connections = part.collectors.find((c) => c.collector === "connections");
  const host: ApplicationHost = {
    host_id,
    host_name: part.host_name,
    tiers,
    covered_from: part.covered_from,
    covered_to: part.covered_to,
    connections_status: connections?.status ?? "ok",
    connections_reason: connections?.reason ?? "",
    missing_fields: connections?.missing_fields ?? [],
    late_parts: 0,
  };
  window.hosts[host_id] = late && known ? { ...known, late_parts: known.late_parts + 1 } : { ...host, late_parts: late ? 1 : 0 };
  const addresses = new Set(ownValue(window.addresses, host_id));
  for (const c of part.connections) {
    addresses.add(c.side === "source" ? c.source_address : c.destination_address);
    if (window.flows.length >= flows_per_partial_max) {
      window.cut++;
      continue;
    }
    const { connections: _, times, ...facts } = c;
    window.flows.push({ host_id, ...facts, count: c.connections, first: times.first, last: times.last });
  }
  for (const l of part.listeners) {
    if (l.address !== "0.0.0.0" && l.address !== "::") addresses.add(l.address);
    const { protocol, address, port, image, command_line, user, application_protocol, channel } = l;
    window.listeners.push({
      host_id,
      protocol,
      address,
      port,
      image,
      command_line,
      user,
      application_protocol,
      channel,
      tls_version: l.tls?.version ?? "",
    });
  }
  window.addresses[host_id] = [...addresses];
}

/** An id may be a word that JavaScript's objects know. */
function ownValue<V>(by_id: Readonly<Record<string, V>>, id: string): V | undefined {
  return Object.hasOwn(by_id, id) ? by_id[id] : undefined;
}

function watermarkOf(application: ApplicationState): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const closed_through of application.members.values()) lowest = Math.min(lowest, closed_through);
  return lowest === Number.POSITIVE_INFINITY ? application.newest : lowest;
}

/** Returns the starts of the windows that it let go. */
function forget(application: ApplicationState, watermark: number, window_ms: number): number[] {
  const newest = Math.max(application.newest, watermark);
  const old = Object.values(application.windows).filter((w) => w.sent && w.window_end + contributions_kept_ms <= newest);
  for (const window of old) delete application.windows[window.window_start];
  const stale = application.newest - Math.max(member_kept_ms, 10 * window_ms);
  for (const [host_id, closed_through] of application.members) {
    if (closed_through < stale) application.members.delete(host_id);
  }
  return old.map((window) => window.window_start);
}

/** What doesn't fit in one record of the log is counted with what is past the limit. */
function encodePartial(codec: Codec, partial: ApplicationPartial): Buffer {
  const value = codec.encode("ApplicationPartial", partial);
  if (value.length <= record_bytes_max) return value;
  const { flows, listeners } = partial;
  const kept = fit({ flows, listeners }, record_bytes_max - jsonBytes({ ...partial, flows: [], listeners: [] }));
  const cut = partial.cut + flows.length - kept.flows.length + listeners.length - kept.listeners.length;
  return codec.encode("ApplicationPartial", { ...partial, ...kept, cut });
}

function partialOf(
  application_id: string,
  window: Contribution,
  contributor: number,
  revision: number,
  watermark: number,
): ApplicationPartial {
  return {
    application_id,
    application_version: window.version,
    window_start: window.window_start,
    window_end: window.window_end,
    contributor,
    revision,
    watermark,
    hosts: Object.values(window.hosts),
    flows: window.flows,
    listeners: window.listeners,
    addresses: window.addresses,
    cut: window.cut,
  };
}
