/**
 * The socket tables of every network namespace that the agent can tell apart and read: one process stands for each. To read a table
 * of TCP makes the kernel walk all of its buckets (some ms), so what was just read is used by both collectors, and IPv6's is left
 * out where nothing uses it.
 */
import { isNobody, parseEndpoint, parseSocketTable, parseTcp6InUse, type SocketRow, socketStates } from "../parse/socket-table";
import type { ProcReader, SocketTableName } from "../read/proc";
import type { ProcessTable } from "./process-table";

export interface NamespaceSockets {
  readonly namespace: string;
  /** The agent's own: here it can connect to what listens. */
  readonly own: boolean;
  readonly tcp: readonly SocketRow[];
  readonly udp: readonly SocketRow[];
}

export interface SocketSnapshot {
  readonly at: number;
  readonly namespaces: readonly NamespaceSockets[];
  /** Why not all sockets are in it: fixed texts; none where all are. */
  readonly lacks: readonly string[];
}

export class Sockets {
  private latest: SocketSnapshot | undefined;
  /** By namespace: when IPv6 was last seen in use. */
  private readonly tcp6_used_at = new Map<string, number>();

  constructor(
    private readonly proc: ProcReader,
    private readonly table: ProcessTable,
    private readonly agent_pid: number,
  ) {}

  /** Read now, or, where that is enough, at most so long ago. */
  snapshot(now: number, age_ms_max: number): SocketSnapshot {
    if (!this.latest || now - this.latest.at > age_ms_max) this.latest = this.read(now);
    return this.latest;
  }

  private read(now: number): SocketSnapshot {
    const { proc, table, agent_pid } = this;
    const representatives = new Map<string, number>();
    const lacks = new Set<string>();
    const own = proc.networkNamespace(agent_pid);
    const ownName = own.kind === "read" ? own.value : "own";
    representatives.set(ownName, agent_pid);
    // In the order in which processes were met: what was read before is read again, as long as it is there.
    for (const { network_namespace, pid, zombie } of table.processes()) {
      if (network_namespace === undefined) {
        if (!zombie) lacks.add("network namespaces of other users' processes are not readable");
      } else if (representatives.has(network_namespace)) continue;
      else if (representatives.size < network_namespaces_max) representatives.set(network_namespace, pid);
      else lacks.add(`of more than ${network_namespaces_max} network namespaces the rest are not read (network_namespaces_max)`);
    }
    for (const namespace of this.tcp6_used_at.keys()) if (!representatives.has(namespace)) this.tcp6_used_at.delete(namespace);
    const namespaces: NamespaceSockets[] = [];
    for (const [namespace, pid] of representatives) {
      const tcp6 = this.usesTcp6(namespace, pid, now) ? this.rows(pid, "tcp6") : [];
      namespaces.push({
        namespace,
        own: namespace === ownName,
        tcp: [...this.rows(pid, "tcp"), ...tcp6],
        udp: [...this.rows(pid, "udp"), ...this.rows(pid, "udp6")],
      });
    }
    return { at: now, namespaces, lacks: [...lacks] };
  }

  /** Now, or so lately that its last connections may linger. */
  private usesTcp6(namespace: string, pid: number, now: number): boolean {
    const counts = this.proc.socketCounts6(pid);
    if (counts.kind !== "read") return true; // there may be no IPv6; then the table is missing as well
    if (parseTcp6InUse(counts.value) !== 0) this.tcp6_used_at.set(namespace, now);
    return now - (this.tcp6_used_at.get(namespace) ?? Number.NEGATIVE_INFINITY) < linger_ms;
  }

  /** Empty where the kernel has no such table (no IPv6), or the process has just ended. */
  private rows(pid: number, name: SocketTableName): SocketRow[] {
    const read = this.proc.socketTable(pid, name);
    return read.kind === "read" ? parseSocketTable(read.value) : [];
  }
}

/** Socket number → port, of TCP sockets that listen. */
export function listeningPorts(snapshot: SocketSnapshot): Map<number, number> {
  const ports = new Map<number, number>();
  for (const { tcp } of snapshot.namespaces) {
    for (const row of tcp) if (row.state === socketStates.listen) ports.set(row.inode, parseEndpoint(row.local).port);
  }
  return ports;
}

/** UDP has no listening state: bound, without a peer. */
export function isUdpBound(row: SocketRow): boolean {
  return isNobody(row.remote);
}

/**
 * Read in one snapshot, the agent's own among them: four tables each, at some ms. A host with more, such as one of very many
 * containers, is covered in part, and says so.
 */
export const network_namespaces_max = 256;
/** TIME_WAIT takes 60 s. */
const linger_ms = 70_000;
