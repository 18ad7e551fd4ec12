/**
 * Tells of TCP sockets that listen and UDP sockets that are bound without a peer: when one is first seen, when something new is
 * learnt about it (what it speaks, a new owner), and once per window while it is open.
 *
 * A UDP socket bound to a port that the kernel hands out by itself is a client that waits for an answer (a resolver), so UDP counts
 * below the local port range only.
 */
import type { ListenerEvent, Transport } from "@assay/schemas/generated/types";
import { parseEndpoint, type SocketRow, socketStates } from "../parse/socket-table";
import type { AccountNames } from "../read/account-names";
import type { ProcReader } from "../read/proc";
import type { Health } from "./health";
import type { ListeningSockets } from "./listening-sockets";
import { type Heard, nothingHeard } from "./probe";
import type { Prober } from "./prober";
import type { ProcessTable } from "./process-table";
import type { SocketOwners } from "./socket-owners";
import { isUdpBound, listeningPorts, type SocketSnapshot, type Sockets } from "./socket-snapshot";

export interface ListenersOptions {
  readonly proc: ProcReader;
  readonly table: ProcessTable;
  readonly owners: SocketOwners;
  readonly sockets: Sockets;
  readonly listening: ListeningSockets;
  readonly prober: Prober;
  readonly names: AccountNames;
  readonly health: Health;
  readonly agent_pid: number;
  /** Socket tables that the other collector has just read will do. */
  readonly snapshot_age_ms_max: number;
  readonly window_ms: number;
  readonly tell: (event: ListenerEvent) => void;
  readonly drop: (reason: string, count: number) => void;
}

export class Listeners {
  private readonly known = new Map<string, Known>();
  private polls = 0;
  private first = true;
  private readonly ephemeral_from: number;

  constructor(private readonly options: ListenersOptions) {
    const range = options.proc.file("sys/net/ipv4/ip_local_port_range");
    this.ephemeral_from = (range.kind === "read" && Number.parseInt(range.value, 10)) || default_ephemeral_from;
  }

  async poll(now: number): Promise<void> {
    const { sockets, agent_pid, health, listening, owners } = this.options;
    const snapshot = sockets.snapshot(now, this.options.snapshot_age_ms_max);
    listening.update(listeningPorts(snapshot));
    for (const reason of snapshot.lacks) health.lacks(reason, []);
    this.polls++;
    const found = this.find(snapshot);
    const holders = await owners.find([...found.values()].map((f) => f.row.inode));
    for (const [key, { row, protocol, own_namespace }] of found) {
      const holder = holders.get(row.inode);
      if (holder?.kind === "pid" && holder.pid === agent_pid) continue;
      const pid = holder?.kind === "pid" ? holder.pid : 0;
      if (holder?.kind === "none" && holder.unreadable) {
        health.lacks("owners of sockets of other users are not readable", ["Image", "CommandLine"]);
      }
      const known = this.known.get(key) ?? this.meet(key, row, protocol, own_namespace, now);
      if (!known) continue;
      known.poll = this.polls;
      if (known.inode !== row.inode && known.inode !== 0) Object.assign(known, { opened_at: now, heard: nothingHeard });
      known.inode = row.inode;
      this.assert(known, pid, row.uid, now);
      if (known.probeable) this.considerProbe(known, now);
    }
    for (const [key, known] of this.known) if (known.poll !== this.polls) this.known.delete(key);
    this.first = false;
  }

  /** One per address and port: sockets that share it (SO_REUSEPORT) are one listener. */
  private find(snapshot: SocketSnapshot): Map<string, Found> {
    const found = new Map<string, Found>();
    for (const { namespace, own, tcp, udp } of snapshot.namespaces) {
      const add = (protocol: Transport, row: SocketRow) => {
        const key = `${namespace}${protocol}${row.local}`;
        const before = found.get(key);
        if (!before || row.inode < before.row.inode) found.set(key, { row, protocol, own_namespace: own });
      };
      for (const row of tcp) if (row.state === socketStates.listen) add("tcp", row);
      for (const row of udp) if (isUdpBound(row) && parseEndpoint(row.local).port < this.ephemeral_from) add("udp", row);
    }
    return found;
  }

  private meet(key: string, row: SocketRow, protocol: Transport, own_namespace: boolean, now: number): Known | undefined {
    if (this.known.size >= listeners_max) {
      this.options.drop("open_listeners_max", 1);
      return undefined;
    }
    const { address, port } = parseEndpoint(row.local);
    const known: Known = {
      protocol,
      address,
      port,
      probeable: protocol === "tcp" && own_namespace,
      inode: row.inode,
      // What listens when the agent starts has settled already.
      opened_at: this.first ? 0 : now,
      poll: this.polls,
      heard: nothingHeard,
      told: "",
      window: -1,
    };
    this.known.set(key, known);
    return known;
  }

  private assert(known: Known, pid: number, uid: number, now: number): void {
    const facts = pid > 0 ? this.options.table.get(pid) : undefined;
    const event: ListenerEvent = {
      at: now,
      protocol: known.protocol,
      address: known.address,
      port: known.port,
      pid: facts?.pid ?? 0,
      image: facts?.image ?? "",
      command_line: facts?.command_line ?? "",
      user: facts?.user ?? this.options.names.user(uid),
      ...known.heard,
    };
    const window = Math.floor(now / this.options.window_ms);
    const content = JSON.stringify({ ...event, at: 0 });
    if (content === known.told && window === known.window) return;
    known.told = content;
    known.window = window;
    this.options.tell(event);
  }

  private considerProbe(known: Known, now: number): void {
    this.options.prober.consider(known, now, (heard) => {
      known.heard = heard;
    });
  }
}

interface Found {
  readonly row: SocketRow;
  readonly protocol: Transport;
  readonly own_namespace: boolean;
}

interface Known {
  readonly protocol: Transport;
  readonly address: string;
  readonly port: number;
  readonly probeable: boolean;
  inode: number;
  opened_at: number;
  poll: number;
  heard: Heard;
  /** What was told last, to notice what is new. */
  told: string;
  window: number;
}

const listeners_max = 20_000;
const default_ephemeral_from = 32_768;
