/** The socket tables of every network namespace that the agent can tell apart and read: one process stands for each. */
import { isNobody, parseEndpoint, parseSocketTable, type SocketRow, socketStates } from "../parse/socket-table";
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
  readonly namespaces: readonly NamespaceSockets[];
  /** Namespaces, or processes whose namespace isn't known, that could not be read. */
  readonly hidden: boolean;
}

export function readSocketSnapshot(proc: ProcReader, table: ProcessTable, agent_pid: number): SocketSnapshot {
  const representatives = new Map<string, number>();
  const own = proc.networkNamespace(agent_pid);
  const ownName = own.kind === "read" ? own.value : "own";
  representatives.set(ownName, agent_pid);
  let hidden = false;
  for (const facts of table.processes()) {
    if (facts.network_namespace === undefined) hidden ||= !facts.zombie;
    else if (!representatives.has(facts.network_namespace)) representatives.set(facts.network_namespace, facts.pid);
  }
  const namespaces: NamespaceSockets[] = [];
  for (const [namespace, pid] of representatives) {
    const tcp = [...rows(proc, pid, "tcp"), ...rows(proc, pid, "tcp6")];
    const udp = [...rows(proc, pid, "udp"), ...rows(proc, pid, "udp6")];
    namespaces.push({ namespace, own: namespace === ownName, tcp, udp });
  }
  return { namespaces, hidden };
}

/** Empty where the kernel has no such table (no IPv6), or the process has just ended. */
function rows(proc: ProcReader, pid: number, name: SocketTableName): SocketRow[] {
  const read = proc.socketTable(pid, name);
  return read.kind === "read" ? parseSocketTable(read.value) : [];
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
