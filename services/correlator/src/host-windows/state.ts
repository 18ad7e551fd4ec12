/** State of the host-window stage for one telemetry partition: JSON-able, in buckets by host. */
import type { Drop } from "@assay/schemas/generated/types";
import type { TelemetryKind } from "@assay/schemas/kinds";
import type { StateForm } from "@assay/stream/stage";
import {
  Contributions,
  restoreContributions,
  type StoredMembers,
  type StoredWindows,
  snapshotMembers,
  snapshotWindows,
} from "../applications/contribute";
import { bucketOf, buckets } from "../bucket";
import type { Gap, LateBatch } from "./late-batches";
import type { ListenersInUse } from "./listeners-in-use";
import { type OpenWindow, restoreWindow, type StoredWindow, storeWindow } from "./open-window";

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
  /** Below the mark: what has not been seen. */
  gaps: Gap[];
  /** Filled gaps, until the host's next batch. */
  late: LateBatch[];
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

/** The hosts' buckets, one for the applications' members, and those of their windows. */
const membersBucket = buckets;
const windowsBuckets = membersBucket + 1;

export const hostWindowState: StateForm<PartitionState> = {
  version: 2,
  buckets: windowsBuckets + buckets,
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
      for (const host of (value as StoredHost[] | undefined) ?? []) state.hosts.set(host.host_id, restoreHost(host));
    }
    const windows = values.slice(windowsBuckets).flatMap((value) => (value ? [value as StoredWindows] : []));
    return { ...state, contributions: restoreContributions((values[membersBucket] as StoredMembers | undefined) ?? {}, windows) };
  },
  takeDirty: (state) => {
    const { members, windows } = state.contributions.takeDirty();
    const dirty = [...state.dirty, ...(members ? [membersBucket] : []), ...windows.map((bucket) => windowsBuckets + bucket)];
    state.dirty.clear();
    return dirty;
  },
  snapshot: (state, bucket) => {
    if (bucket === membersBucket) return snapshotMembers(state.contributions);
    if (bucket >= windowsBuckets) return snapshotWindows(state.contributions, bucket - windowsBuckets);
    const hosts = [...state.hosts.values()].filter((h) => bucketOf(h.host_id) === bucket);
    return hosts.length > 0 ? hosts.map(storeHost) : undefined;
  },
};

/** Earlier releases knew no gaps. */
type StoredHost = Omit<HostState, "open" | "gaps" | "late"> & {
  readonly open: Readonly<Record<string, StoredWindow>>;
  readonly gaps?: Gap[];
  readonly late?: LateBatch[];
};

function storeHost(host: HostState): StoredHost {
  return { ...host, open: Object.fromEntries(Object.entries(host.open).map(([start, window]) => [start, storeWindow(window)])) };
}

function restoreHost(host: StoredHost): HostState {
  return {
    ...host,
    gaps: host.gaps ?? [],
    late: host.late ?? [],
    open: Object.fromEntries(Object.entries(host.open).map(([start, window]) => [start, restoreWindow(window)])),
  };
}
