/**
 * Tells of TCP connections and connected UDP sockets: once when one is first seen, then once per window while it stays open.
 * Both ends are told where both are on this host. An attempt that was never answered is no connection. What was open and closed
 * between two polls shows as TIME_WAIT at the end that closed first, without an owner.
 */
import type { ConnectionEvent, Side, Transport } from "@assay/schemas/generated/types";
import { type Endpoint, isNobody, parseEndpoint, type SocketRow, socketStates } from "../parse/socket-table";
import type { AccountNames } from "../read/account-names";
import type { OwnConnections } from "./excluded";
import type { Health } from "./health";
import type { ListeningSockets } from "./listening-sockets";
import type { ProcessTable } from "./process-table";
import type { SocketOwners } from "./socket-owners";
import { isUdpBound, listeningPorts, type NamespaceSockets, type SocketSnapshot, type Sockets } from "./socket-snapshot";

export interface ConnectionsOptions {
  readonly table: ProcessTable;
  readonly owners: SocketOwners;
  readonly sockets: Sockets;
  readonly listening: ListeningSockets;
  readonly own: OwnConnections;
  readonly names: AccountNames;
  readonly health: Health;
  readonly agent_pid: number;
  readonly window_ms: number;
  readonly tell: (event: ConnectionEvent) => void;
  readonly drop: (reason: string, count: number) => void;
}

export class Connections {
  private readonly known = new Map<string, Known>();
  /** Established but not accepted yet: they have no owner, and get one more poll to find it. */
  private unaccepted = new Set<string>();
  /** Ports on which something listened, with the time at which it was last seen. */
  private readonly listened = new Map<string, number>();
  private polls = 0;

  constructor(private readonly options: ConnectionsOptions) {}

  async poll(now: number): Promise<void> {
    const { sockets, agent_pid, listening, owners, health } = this.options;
    const snapshot = sockets.snapshot(now, 0);
    listening.update(listeningPorts(snapshot));
    for (const reason of snapshot.lacks) health.lacks(reason, []);
    this.polls++;
    const found = this.findNew(snapshot, now);
    const holders = await owners.find(found.flatMap((f) => (f.known.inode > 0 ? [f.known.inode] : [])));
    const agents = new Set<string>();
    for (const { key, known } of found) {
      const holder = holders.get(known.inode);
      if (holder?.kind === "pid" && holder.pid === agent_pid) agents.add(pair(known.event));
      if (holder?.kind === "none" && holder.unreadable && !this.options.own.has(...ends(known.event))) {
        health.lacks("owners of sockets of other users are not readable", ["Image", "CommandLine"]);
      }
      this.own(known, holder?.kind === "pid" ? holder.pid : 0);
      this.known.set(key, known);
    }
    for (const { known } of found) {
      if (agents.has(pair(known.event)) || this.options.own.has(...ends(known.event))) {
        known.told = false;
        this.options.own.opened(...ends(known.event));
      } else if (known.told) this.options.tell(known.event);
    }
    this.repeatAndForget(now);
    owners.keepOnly(allInodes(snapshot));
  }

  private findNew(snapshot: SocketSnapshot, now: number): { key: string; known: Known }[] {
    const found: { key: string; known: Known }[] = [];
    const waiting = new Set<string>();
    let cut = 0;
    for (const sockets of snapshot.namespaces) {
      this.noteListeners(sockets, now);
      for (const { protocol, row } of connected(sockets)) {
        const key = `${sockets.namespace}${protocol}${row.local}${row.remote}`;
        const before = this.known.get(key);
        if (before && !isAnother(before, row)) {
          before.poll = this.polls;
          before.ended ||= isEnding(row);
          continue;
        }
        if (row.inode === 0 && row.state === socketStates.established && !this.unaccepted.has(key)) {
          waiting.add(key);
          continue;
        }
        if (!before && this.known.size + found.length >= connections_max) cut++;
        else found.push({ key, known: this.newlyKnown(protocol, row, sockets, now) });
      }
    }
    this.unaccepted = waiting;
    if (cut > 0) this.options.drop("open_connections_max", cut);
    return found;
  }

  private newlyKnown(protocol: Transport, row: SocketRow, sockets: NamespaceSockets, now: number): Known {
    const local = parseEndpoint(row.local);
    const remote = parseEndpoint(row.remote);
    const side: Side = this.hasListened(sockets.namespace, protocol, local.port, now) ? "destination" : "source";
    const [from, to]: [Endpoint, Endpoint] = side === "source" ? [local, remote] : [remote, local];
    const event: ConnectionEvent = {
      at: now,
      opened_at: now,
      protocol,
      side,
      source_address: from.address,
      source_port: from.port,
      destination_address: to.address,
      destination_port: to.port,
      pid: 0,
      image: "",
      command_line: "",
      // The socket's own user, until its process is found; a lingering connection has neither.
      user: row.inode > 0 ? this.options.names.user(row.uid) : "",
      ancestors: [],
    };
    // What had ended before the agent looked for the first time happened before it observed.
    const told = !(this.polls === 1 && isEnding(row));
    return {
      event,
      namespace: sockets.namespace,
      inode: row.inode,
      poll: this.polls,
      ended: isEnding(row),
      told,
      window: this.window(now),
    };
  }

  private noteListeners({ namespace, tcp, udp }: NamespaceSockets, now: number): void {
    const bound = [...tcp.filter((row) => row.state === socketStates.listen), ...udp.filter(isUdpBound)];
    const udpRows = new Set(udp);
    for (const row of bound) {
      this.listened.set(listenerKey(namespace, udpRows.has(row) ? "udp" : "tcp", parseEndpoint(row.local).port), now);
    }
    if (this.listened.size < listened_sweep) return;
    for (const [key, at] of this.listened) if (now - at > listened_keep_ms) this.listened.delete(key);
  }

  /** Now or lately: a server may have closed while its last connections linger. */
  private hasListened(namespace: string, protocol: Transport, port: number, now: number): boolean {
    const at = this.listened.get(listenerKey(namespace, protocol, port));
    return at !== undefined && now - at <= listened_keep_ms;
  }

  private own(known: Known, pid: number): void {
    const { table } = this.options;
    const facts = pid > 0 ? table.get(pid) : undefined;
    if (!facts) return;
    known.event = {
      ...known.event,
      pid: facts.pid,
      image: facts.image,
      command_line: facts.command_line,
      user: facts.user,
      ancestors: table.ancestors(facts),
    };
  }

  private repeatAndForget(now: number): void {
    const window = this.window(now);
    for (const [key, known] of this.known) {
      if (this.polls - known.poll > missed_polls_max) this.known.delete(key);
      else if (known.poll === this.polls && known.told && !known.ended && known.window !== window) {
        known.window = window;
        this.own(known, known.event.pid); // the owner may have called exec since
        this.turnWhereListened(known, now);
        this.options.tell({ ...known.event, at: now });
      }
    }
  }

  /** What listens at its end was not to be seen when the connection was first seen. */
  private turnWhereListened(known: Known, now: number): void {
    const { event } = known;
    if (event.side !== "source" || !this.hasListened(known.namespace, event.protocol, event.source_port, now)) return;
    known.event = {
      ...event,
      side: "destination",
      source_address: event.destination_address,
      source_port: event.destination_port,
      destination_address: event.source_address,
      destination_port: event.source_port,
    };
  }

  private window(now: number): number {
    return Math.floor(now / this.options.window_ms);
  }
}

interface Known {
  event: ConnectionEvent;
  readonly namespace: string;
  readonly inode: number;
  /** The latest poll that saw it. */
  poll: number;
  /** Nobody talks over it any more. */
  ended: boolean;
  /** False for the agent's own, which are never told. */
  told: boolean;
  /** The latest window in which it was told. */
  window: number;
}

/** Ports can be used again by the same two ends: then the socket's number differs. */
function isAnother(known: Known, row: SocketRow): boolean {
  return row.inode !== 0 && known.inode !== 0 && known.inode !== row.inode ? true : known.ended && !isEnding(row);
}

function isEnding(row: SocketRow): boolean {
  return row.state === socketStates.time_wait || (row.inode === 0 && row.state !== socketStates.established);
}

function* connected(sockets: NamespaceSockets): IterableIterator<{ protocol: Transport; row: SocketRow }> {
  for (const row of sockets.tcp) if (!unconnectedStates.has(row.state)) yield { protocol: "tcp", row };
  for (const row of sockets.udp) if (!isNobody(row.remote)) yield { protocol: "udp", row };
}

const unconnectedStates = new Set<number>([
  socketStates.listen,
  socketStates.syn_sent,
  socketStates.syn_received,
  socketStates.new_syn_received,
  socketStates.close,
]);

function allInodes(snapshot: SocketSnapshot): Set<number> {
  const inodes = new Set<number>();
  for (const { tcp, udp } of snapshot.namespaces) {
    for (const row of tcp) inodes.add(row.inode);
    for (const row of udp) inodes.add(row.inode);
  }
  return inodes;
}

function pair(event: ConnectionEvent): string {
  return ends(event).join(" ");
}

function ends(event: ConnectionEvent): [string, string] {
  return [`${event.source_address}:${event.source_port}`, `${event.destination_address}:${event.destination_port}`];
}

function listenerKey(namespace: string, protocol: Transport, port: number): string {
  return `${namespace} ${protocol} ${port}`;
}

const connections_max = 50_000;
/** The kernel gives a long table page by page, and a row may be missed when others before it go in between. */
const missed_polls_max = 1;
/** A little longer than TIME_WAIT. */
const listened_keep_ms = 90_000;
const listened_sweep = 1_024;
