/** Which socket numbers listen on which TCP ports, and on which of them a process holds one, inherited ones among them. */
import { parseSocketLink } from "../parse/socket-table";
import type { ProcReader } from "../read/proc";
import type { Read } from "../read/read";

export interface PortsHeld {
  /** Ascending. */
  readonly ports: number[];
  /** The process holds more descriptors than were looked through, so there may be more. */
  readonly cut: boolean;
}

export class ListeningSockets {
  private ports = new Map<number, number>();
  private readonly held = new Map<number, { start_ticks: number; at: number; result: Read<PortsHeld> }>();

  constructor(
    private readonly proc: ProcReader,
    private readonly now: () => number,
  ) {}

  /** From the latest socket tables: socket number → port. */
  update(ports: Map<number, number>): void {
    this.ports = ports;
  }

  portsOf(pid: number, start_ticks: number): Read<PortsHeld> {
    const now = this.now();
    const held = this.held.get(pid);
    if (held?.start_ticks === start_ticks && now - held.at < keep_ms) return held.result;
    if (this.held.size >= held_processes_max) this.held.clear();
    const result = this.scan(pid);
    this.held.set(pid, { start_ticks, at: now, result });
    return result;
  }

  private scan(pid: number): Read<PortsHeld> {
    const names = this.proc.descriptors(pid);
    if (names.kind !== "read") return names;
    const found = new Set<number>();
    for (const name of names.value.slice(0, parent_descriptors_max)) {
      const link = this.proc.descriptor(pid, name);
      if (link.kind === "denied") return link;
      if (link.kind === "gone") continue;
      const inode = parseSocketLink(link.value);
      const port = inode === undefined ? undefined : this.ports.get(inode);
      if (port !== undefined) found.add(port);
    }
    const ports = [...found].sort((a, b) => a - b);
    return { kind: "read", value: { ports, cut: names.value.length > parent_descriptors_max } };
  }
}

/** A parent that starts many children is looked into once in this time. */
const keep_ms = 2_000;
const held_processes_max = 4_096;
/**
 * Of one parent, looked through for listening sockets, the lowest numbers first: such sockets are opened early. So this is also how
 * many ports parent_listens may hold, and keeps an event of a parent that listens on thousands within a batch. Where a parent holds
 * more, the collector says that it saw ParentListensOn in part.
 */
export const parent_descriptors_max = 1_024;
