/**
 * What one telemetry partition contributes to its hosts' application windows. Its whole contribution to a window goes out as one
 * partial: when every live host of the application here has closed that window, and again, under a newer revision, whenever a
 * late part changes it. The revision is the position of the telemetry record that led to it, so a replay gives the same one.
 */
import type { Codec } from "@assay/schemas/codec";
import type { ApplicationHost, ApplicationPartial, HostFlow, HostListener, HostWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { NewRecord } from "@assay/stream/log";

/**
 * Contributions kept for changes, behind the application's newest window. A part that is later still goes out as a partial that
 * holds it alone.
 */
export const contributions_kept_ms = 15 * 60_000;
/** Flows of one partition in one application window; what is past it is counted. */
export const flows_per_partial_max = 50_000;
/** Hosts that no window named for this long no longer belong to an application's live hosts here. */
const member_kept_ms = 60 * 60_000;

interface Contribution {
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
  members: Record<string, number>;
  windows: Record<string, Contribution>;
  newest: number;
}

export type ContributionState = Record<string, ApplicationState>;

export class Contributions {
  /** Application windows changed by the record in hand. */
  private readonly changed = new Map<string, Set<number>>();

  constructor(readonly applications: ContributionState) {}

  touch(application_id: string, window_start: number | undefined): void {
    const starts = this.changed.get(application_id) ?? new Set();
    if (window_start !== undefined) starts.add(window_start);
    this.changed.set(application_id, starts);
  }

  /** The partials that the record in hand brought about. */
  take(codec: Codec, contributor: number, revision: number, timestamp: number, window_ms: number): NewRecord[] {
    if (this.changed.size === 0) return [];
    const records: NewRecord[] = [];
    for (const [application_id, starts] of this.changed) {
      const application = this.applications[application_id];
      if (!application) continue;
      const watermark = watermarkOf(application);
      for (const window of Object.values(application.windows).sort((a, b) => a.window_start - b.window_start)) {
        const due = window.window_end <= watermark && (!window.sent || starts.has(window.window_start));
        if (!due) continue;
        window.sent = true;
        const partial = partialOf(application_id, window, contributor, revision, watermark);
        records.push({
          topic: topics.applicationPartials.name,
          key: `${application_id}/${window.window_start}`,
          partition_key: application_id,
          value: codec.encode("ApplicationPartial", partial),
          timestamp,
        });
      }
      forget(application, watermark, window_ms);
    }
    this.changed.clear();
    return records;
  }
}

export const emptyContributions = (): Contributions => new Contributions({});
export const restoreContributions = (state: ContributionState): Contributions => new Contributions(state);
export const snapshotContributions = (contributions: Contributions): ContributionState | undefined =>
  Object.keys(contributions.applications).length > 0 ? contributions.applications : undefined;

/** Adds a part to the windows of the applications that cover its host. */
export function contribute(contributions: Contributions, part: HostWindow, closed_through: number): void {
  for (const membership of part.applications) {
    const application = contributions.applications[membership.application_id] ?? { members: {}, windows: {}, newest: 0 };
    contributions.applications[membership.application_id] = application;
    application.members[part.host_id] = Math.max(application.members[part.host_id] ?? 0, closed_through);
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
  for (const [application_id, application] of Object.entries(contributions.applications)) {
    if (application.members[host_id] === undefined) continue;
    delete application.members[host_id];
    contributions.touch(application_id, undefined);
  }
}

function emptyContribution(part: HostWindow): Contribution {
  const { window_start, window_end } = part;
  return { window_start, window_end, version: 0, hosts: {}, flows: [], listeners: [], addresses: {}, cut: 0, sent: false };
}

function addPart(window: Contribution, part: HostWindow, tiers: string[]): void {
  const { host_id } = part;
  const known = window.hosts[host_id];
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
  const addresses = new Set(window.addresses[host_id]);
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

function watermarkOf(application: ApplicationState): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const closed_through of Object.values(application.members)) lowest = Math.min(lowest, closed_through);
  return lowest === Number.POSITIVE_INFINITY ? application.newest : lowest;
}

function forget(application: ApplicationState, watermark: number, window_ms: number): void {
  for (const window of Object.values(application.windows)) {
    if (window.sent && window.window_end + contributions_kept_ms <= Math.max(application.newest, watermark))
      delete application.windows[window.window_start];
  }
  const stale = application.newest - Math.max(member_kept_ms, 10 * window_ms);
  for (const [host_id, closed_through] of Object.entries(application.members)) {
    if (closed_through < stale) delete application.members[host_id];
  }
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
