/** State of the host-window stage for one telemetry partition: JSON-able, in buckets by host. */
import type { Drop } from "@assay/schemas/generated/types";
import type { TelemetryKind } from "@assay/schemas/kinds";
import type { StateForm } from "@assay/stream/stage";
import { Contributions, restoreContributions, type StoredContributions, snapshotContributions } from "../applications/contribute";
import type { ListenersInUse } from "./listeners-in-use";
import type { OpenWindow } from "./open-window";

export interface HostState {
  host_id: string;
  host_name: string;
  agent_version: string;
  agent_tags: Record<string, string>;
  /** High-water mark: what is at or below it has been seen. */
  incarnation: number;
  seq: number;
  /** Log timestamp of the last batch. */
  received_at: number;
  clock_offset_ms: number;
  /** Watched without a gap since then, corrected. */
  covered_since: number;
  complete_through: number;
  /** End of the last window that closed; 0 before the first. */
  closed_through: number;
  silent: boolean;
  open: Record<string, OpenWindow>;
  duplicates: Record<TelemetryKind, number>;
  drops: Drop[];
  in_use: ListenersInUse;
}

export interface PartitionState {
  readonly partition: number;
  readonly hosts: Map<string, HostState>;
  readonly contributions: Contributions;
  readonly dirty: Set<number>;
  /** Hosts for which HostSilent has been appended, by the mark for which it was; not part of a checkpoint. */
  readonly silence_told: Map<string, string>;
  /** When this process first looked for silent hosts here; nor is this. */
  watching_since: number | undefined;
}

const buckets = 64;
/** The bucket after the hosts' holds the contributions to application windows. */
const contributionsBucket = buckets;

export function bucketOf(host_id: string): number {
  let hash = 0;
  for (let i = 0; i < host_id.length; i++) hash = (Math.imul(hash, 31) + host_id.charCodeAt(i)) | 0;
  return (hash >>> 0) % buckets;
}

export const hostWindowState: StateForm<PartitionState> = {
  version: 1,
  buckets: buckets + 1,
  empty: (partition) => ({
    partition,
    hosts: new Map(),
    contributions: new Contributions(new Map()),
    dirty: new Set(),
    silence_told: new Map(),
    watching_since: undefined,
  }),
  restore: (partition, values) => {
    const state = hostWindowState.empty(partition);
    for (const value of values.slice(0, buckets)) {
      for (const host of (value as HostState[] | undefined) ?? []) state.hosts.set(host.host_id, host);
    }
    const contributions = values[contributionsBucket] as StoredContributions | undefined;
    return contributions ? { ...state, contributions: restoreContributions(contributions) } : state;
  },
  takeDirty: (state) => {
    const dirty = [...state.dirty, contributionsBucket];
    state.dirty.clear();
    return dirty;
  },
  snapshot: (state, bucket) => {
    if (bucket === contributionsBucket) return snapshotContributions(state.contributions);
    const hosts = [...state.hosts.values()].filter((h) => bucketOf(h.host_id) === bucket);
    return hosts.length > 0 ? hosts : undefined;
  },
};
