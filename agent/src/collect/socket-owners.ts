/**
 * Which process holds a socket. The kernel's tables give a socket's number only, so descriptors are walked: just when a number is
 * met that isn't known, first those of processes that held sockets before, in slices that let the event loop turn.
 */
import { parseSocketLink } from "../parse/socket-table";
import type { ProcReader } from "../read/proc";
import type { ProcessTable } from "./process-table";

/** none: no process that this user may look into holds it. */
export type Owner = { readonly kind: "pid"; readonly pid: number } | { readonly kind: "none"; readonly unreadable: boolean };

export class SocketOwners {
  private readonly owners = new Map<number, { pid: number; start_ticks: number }>();
  /** Socket numbers that no readable process holds, with the time of the next try. */
  private readonly unowned = new Map<number, { retry_at: number; unreadable: boolean }>();
  /** Processes whose descriptors have been looked through, and whether there were sockets among them. */
  private readonly walked = new Map<number, { start_ticks: number; holds: boolean }>();

  constructor(
    private readonly proc: ProcReader,
    private readonly table: ProcessTable,
    private readonly agent_pid: number,
    private readonly now: () => number,
  ) {}

  /** Answers for each number given. */
  async find(inodes: Iterable<number>): Promise<Map<number, Owner>> {
    const found = new Map<number, Owner>();
    const wanted = new Set<number>();
    const now = this.now();
    for (const inode of inodes) {
      const known = this.known(inode, now);
      if (known) found.set(inode, known);
      else wanted.add(inode);
    }
    if (wanted.size === 0) return found;
    const unreadable = await this.walk(wanted, found);
    for (const inode of wanted) {
      this.unowned.set(inode, { retry_at: now + retry_ms, unreadable });
      found.set(inode, { kind: "none", unreadable });
    }
    return found;
  }

  /** Forgets sockets that are gone. */
  keepOnly(inodes: ReadonlySet<number>): void {
    for (const inode of this.owners.keys()) if (!inodes.has(inode)) this.owners.delete(inode);
    for (const inode of this.unowned.keys()) if (!inodes.has(inode)) this.unowned.delete(inode);
  }

  private known(inode: number, now: number): Owner | undefined {
    const owner = this.owners.get(inode);
    if (owner && (owner.pid === this.agent_pid || this.table.get(owner.pid)?.start_ticks === owner.start_ticks)) {
      return { kind: "pid", pid: owner.pid };
    }
    const unowned = this.unowned.get(inode);
    return unowned && unowned.retry_at > now ? { kind: "none", unreadable: unowned.unreadable } : undefined;
  }

  /** Takes what it finds out of `wanted`; tells whether some process could not be looked into. */
  private async walk(wanted: Set<number>, found: Map<number, Owner>): Promise<boolean> {
    let unreadable = false;
    let links = 0;
    for (const pid of this.order()) {
      if (wanted.size === 0) break;
      const names = this.proc.descriptors(pid);
      if (names.kind === "denied") unreadable = true;
      if (names.kind !== "read") continue;
      let holds = false;
      for (const name of names.value) {
        if (++links > links_per_walk_max) return true;
        if (links % links_per_slice === 0) await turn();
        const link = this.proc.descriptor(pid, name);
        if (link.kind === "denied") {
          unreadable = true;
          break;
        }
        const inode = link.kind === "read" ? parseSocketLink(link.value) : undefined;
        if (inode === undefined) continue;
        holds = true;
        if (!wanted.delete(inode)) continue;
        this.owners.set(inode, { pid, start_ticks: this.table.get(pid)?.start_ticks ?? 0 });
        found.set(inode, { kind: "pid", pid });
      }
      this.walked.set(pid, { start_ticks: this.table.get(pid)?.start_ticks ?? 0, holds });
    }
    return unreadable;
  }

  /**
   * Holders of sockets first, then processes that no walk has looked into, then the others; of each the oldest first: what a child
   * inherited belongs to the parent.
   */
  private order(): number[] {
    const facts = [...this.table.processes()].sort((a, b) => a.start_ticks - b.start_ticks || a.pid - b.pid);
    const present = new Set(facts.map((f) => f.pid));
    for (const pid of this.walked.keys()) if (!present.has(pid)) this.walked.delete(pid);
    const byKind: Record<"holder" | "fresh" | "other", number[]> = { holder: [], fresh: [], other: [] };
    for (const { pid, start_ticks } of facts) {
      const walked = this.walked.get(pid);
      const kind = walked?.start_ticks !== start_ticks ? "fresh" : walked.holds ? "holder" : "other";
      byKind[kind].push(pid);
    }
    return [this.agent_pid, ...byKind.holder, ...byKind.fresh, ...byKind.other];
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const retry_ms = 15_000;
/** About 1 ms. */
const links_per_slice = 256;
/** About 150 ms of work: what isn't found until then counts as not readable. */
const links_per_walk_max = 40_000;
