/**
 * All that the agent leaves out of telemetry, because it is the agent's own doing or no program:
 * - kernel threads;
 * - the agent's process and its children (sshd -T);
 * - its connections, to ingest and while probing listeners, at both of their ends where these are on this host.
 */
import type { Socket } from "node:net";
import type { ProcStat } from "../parse/proc-stat";

export function isExcludedProcess(stat: ProcStat, agent_pid: number): boolean {
  return stat.kernel_thread || stat.pid === agent_pid || stat.parent_pid === agent_pid;
}

/**
 * Both ends of connections that the agent opened, remembered while the kernel may still show them (TIME_WAIT is 60 s). Ends are
 * address:port: ports alone would leave out whoever uses the same two towards another address.
 */
export class OwnConnections {
  private readonly expiry = new Map<string, number>();

  constructor(private readonly now: () => number) {}

  /** Called when a connection is made, and again when it has closed. */
  opened(one_end: string, other_end: string): void {
    const now = this.now();
    if (this.expiry.size >= sweep_connections) {
      for (const [key, at] of this.expiry) if (at < now) this.expiry.delete(key);
    }
    this.expiry.set(keyOf(one_end, other_end), now + remember_ms);
  }

  openedBy({ localAddress, localPort, remoteAddress, remotePort }: Ends): void {
    if (localAddress === undefined || remoteAddress === undefined) return; // it has closed already
    this.opened(`${localAddress}:${localPort}`, `${remoteAddress}:${remotePort}`);
  }

  has(one_end: string, other_end: string): boolean {
    const at = this.expiry.get(keyOf(one_end, other_end));
    return at !== undefined && at >= this.now();
  }
}

/** Of a connected socket. */
type Ends = Pick<Socket, "localAddress" | "localPort" | "remoteAddress" | "remotePort">;

/** The same seen from either end. */
function keyOf(one_end: string, other_end: string): string {
  return one_end < other_end ? `${one_end} ${other_end}` : `${other_end} ${one_end}`;
}

const remember_ms = 150_000;
const sweep_connections = 1_024;
