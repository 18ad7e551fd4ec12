/**
 * The application-window stage: partials in, application windows out. It keeps the newest revision per contributor and window and
 * derives everything else, so it doesn't matter in which order partials come, or how often.
 *
 * A window goes out when every live contributor's watermark has passed its end, and again under a newer revision when a partial
 * changes it later.
 */
import type { Codec } from "@assay/schemas/codec";
import type { ApplicationPartial, ApplicationWindow } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { LogRecord, NewRecord } from "@assay/stream/log";
import type { StateForm } from "@assay/stream/stage";
import { buckets, windowBucketOf } from "../bucket";
import { unexpected } from "../dead-letter";
import { fit, jsonBytes, record_bytes_max } from "../fit";
import { contributions_kept_ms } from "./contribute";
import { joinFlows } from "./join-flows";
import { isHostLocal, networkScope } from "./network-scope";

/** A contributor this many windows behind the others is taken for idle and no longer waited for. */
export const idle_contributor_windows = 30;

interface MergeWindow {
  partials: Record<string, ApplicationPartial>;
  sent: boolean;
}
interface MergeApplication {
  watermarks: Record<string, number>;
  windows: Record<string, MergeWindow>;
}
export interface MergeState {
  readonly applications: Map<string, MergeApplication>;
  /** Buckets of the checkpoint that changed. */
  readonly dirty: Set<number>;
}

/** After the windows' buckets. */
const watermarksBucket = buckets;
type StoredWindows = [application_id: string, window_start: number, window: MergeWindow][];
type StoredWatermarks = Record<string, MergeApplication["watermarks"]>;

export const mergeState: StateForm<MergeState> = {
  version: 1,
  buckets: watermarksBucket + 1,
  empty: () => ({ applications: new Map(), dirty: new Set() }),
  restore: (_, values) => {
    const applications = new Map<string, MergeApplication>();
    for (const [id, watermarks] of Object.entries((values[watermarksBucket] as StoredWatermarks | undefined) ?? {})) {
      applications.set(id, { watermarks, windows: {} });
    }
    for (const value of values.slice(0, buckets)) {
      for (const [id, start, window] of (value as StoredWindows | undefined) ?? []) {
        const application = applications.get(id);
        if (application) application.windows[start] = window;
      }
    }
    return { applications, dirty: new Set() };
  },
  takeDirty: (state) => {
    const dirty = [...state.dirty];
    state.dirty.clear();
    return dirty;
  },
  snapshot: (state, bucket) => {
    if (bucket === watermarksBucket) {
      return Object.fromEntries([...state.applications].map(([id, { watermarks }]) => [id, watermarks]));
    }
    const stored: StoredWindows = [];
    for (const [id, { windows }] of state.applications) {
      for (const [start, window] of Object.entries(windows)) {
        if (windowBucketOf(id, Number(start)) === bucket) stored.push([id, Number(start), window]);
      }
    }
    return stored.length > 0 ? stored : undefined;
  },
};

export function reducePartial(state: MergeState, record: LogRecord, outputs: NewRecord[], codec: Codec): void {
  if (!record.value) return;
  const decoded = codec.decode(record.value);
  if (decoded.name !== "ApplicationPartial") {
    outputs.push(unexpected(codec, record, decoded));
    return;
  }
  const partial = decoded.value;
  const application = state.applications.get(partial.application_id) ?? { watermarks: {}, windows: {} };
  const window = application.windows[partial.window_start] ?? { partials: {}, sent: false };
  const known = window.partials[partial.contributor];
  if (known && known.revision >= partial.revision) return;
  state.applications.set(partial.application_id, application);
  const changed = (start: number) => state.dirty.add(windowBucketOf(partial.application_id, start));
  state.dirty.add(watermarksBucket);
  changed(partial.window_start);
  window.partials[partial.contributor] = partial;
  application.windows[partial.window_start] = window;
  application.watermarks[partial.contributor] = Math.max(application.watermarks[partial.contributor] ?? 0, partial.watermark);

  const newest = Math.max(...Object.values(application.watermarks));
  const idle = newest - idle_contributor_windows * (partial.window_end - partial.window_start);
  const watermark = Math.min(...Object.values(application.watermarks).filter((w) => w > idle));
  const starts = Object.keys(application.windows)
    .map(Number)
    .sort((a, b) => a - b);
  for (const start of starts) {
    const candidate = application.windows[start];
    const end = Object.values(candidate?.partials ?? {})[0]?.window_end ?? 0;
    if (!candidate || end > watermark) continue;
    if (!candidate.sent || start === partial.window_start) {
      const merged = mergePartials(Object.values(candidate.partials), record.offset + 1, candidate.sent);
      candidate.sent = true;
      changed(start);
      outputs.push({
        topic: topics.applicationWindows.name,
        key: partial.application_id,
        value: encodeWindow(codec, merged),
        timestamp: record.timestamp,
      });
    }
    if (end + contributions_kept_ms > newest) continue;
    delete application.windows[start];
    changed(start);
  }
}

/** Flows that don't fit in one record of the log are counted as cut. */
function encodeWindow(codec: Codec, window: ApplicationWindow): Buffer {
  const value = codec.encode("ApplicationWindow", window);
  if (value.length <= record_bytes_max) return value;
  const { flows } = fit({ flows: window.flows }, record_bytes_max - jsonBytes({ ...window, flows: [] }));
  return codec.encode("ApplicationWindow", { ...window, flows, cut: window.cut + window.flows.length - flows.length });
}

export function mergePartials(partials: readonly ApplicationPartial[], revision: number, late: boolean): ApplicationWindow {
  const [first] = partials;
  if (!first) throw new Error("an application window without partials");
  const ordered = [...partials].sort((a, b) => a.contributor - b.contributor);
  const hosts = new Map(ordered.flatMap((p) => p.hosts).map((h) => [h.host_id, h]));
  return {
    application_id: first.application_id,
    application_version: Math.max(...partials.map((p) => p.application_version)),
    window_start: first.window_start,
    window_end: first.window_end,
    revision,
    late,
    hosts: [...hosts.values()],
    flows: joinFlows({
      hosts,
      flows: ordered.flatMap((p) => p.flows),
      listeners: ordered.flatMap((p) => p.listeners),
      hostOfAddress: hostOfAddress(ordered),
    }),
    cut: partials.reduce((total, p) => total + p.cut, 0),
  };
}

function hostOfAddress(partials: readonly ApplicationPartial[]): Map<string, string> {
  const owner = new Map<string, string>();
  for (const partial of partials) {
    for (const [host_id, addresses] of Object.entries(partial.addresses)) {
      for (const address of addresses) {
        if (!isHostLocal(networkScope(address))) owner.set(address, host_id);
      }
    }
  }
  return owner;
}
