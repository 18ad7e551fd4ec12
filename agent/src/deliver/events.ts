/** Events on their way into a batch: bounded, cut into batches by count and size, what doesn't fit is counted. */
import type { ConnectionEvent, ListenerEvent, ProcessEvent } from "@assay/schemas/generated/types";
import type { TelemetryKind } from "@assay/schemas/kinds";
import type { DropCounts } from "./drop-counts";

export interface EventsTaken {
  readonly processes: ProcessEvent[];
  readonly connections: ConnectionEvent[];
  readonly listeners: ListenerEvent[];
  /** The earliest event time among those that stay; undefined where none do. */
  readonly earliest_left: number | undefined;
}

type AnyEvent = ProcessEvent | ConnectionEvent | ListenerEvent;

export class Events {
  private waiting: { kind: TelemetryKind; event: AnyEvent; size: number }[] = [];
  private bytes = 0;

  constructor(
    private readonly drops: DropCounts,
    /** Called when a batch is full. */
    private readonly full: () => void,
  ) {}

  get size(): number {
    return this.waiting.length;
  }

  readonly tellProcess = (event: ProcessEvent): void => this.add("processes", event);
  readonly tellConnection = (event: ConnectionEvent): void => this.add("connections", event);
  readonly tellListener = (event: ListenerEvent): void => this.add("listeners", event);

  drop(kind: TelemetryKind, reason: string, count: number): void {
    this.drops.add(kind, reason, count);
  }

  /** At most one batch. */
  take(): EventsTaken {
    let count = 0;
    let bytes = 0;
    const taken: EventsTaken = { processes: [], connections: [], listeners: [], earliest_left: undefined };
    for (const { kind, event, size } of this.waiting) {
      if (count >= batch_events_max || (count > 0 && bytes + size > batch_bytes_max)) break;
      (taken[kind] as AnyEvent[]).push(event);
      count++;
      bytes += size;
    }
    this.waiting = this.waiting.slice(count);
    this.bytes -= bytes;
    const earliest_left = this.waiting.reduce<number | undefined>(
      (least, { event }) => (least === undefined || event.at < least ? event.at : least),
      undefined,
    );
    return { ...taken, earliest_left };
  }

  private add(kind: TelemetryKind, event: AnyEvent): void {
    const size = sizeOf(event);
    if (this.waiting.length >= waiting_events_max || this.bytes + size > waiting_bytes_max) {
      this.drops.add(kind, "waiting_events_max", 1);
      return;
    }
    this.waiting.push({ kind, event, size });
    this.bytes += size;
    if (this.waiting.length === batch_full_events || this.bytes >= batch_bytes_max) this.full();
  }
}

/** About the encoded size. */
function sizeOf(event: AnyEvent): number {
  let size = fixed_bytes + event.image.length + event.command_line.length;
  if ("ancestors" in event) for (const line of event.ancestors) size += line.length;
  if ("parent_command_line" in event) {
    size += event.parent_command_line.length + event.current_directory.length + event.parent_listens.length * port_bytes_max;
  }
  return size;
}

const fixed_bytes = 120;
const port_bytes_max = 3;
/** At this many, a batch leaves before its time. */
const batch_full_events = 500;
const batch_events_max = 1_000;
const batch_bytes_max = 512 * 1024;
const waiting_events_max = 20_000;
const waiting_bytes_max = 16 * 1024 * 1024;
