/**
 * All that the agent leaves out of telemetry, because it is the agent's own doing or no program:
 * - kernel threads;
 * - the agent's process and its children (sshd -T);
 * - its connections, to ingest and while probing listeners, at both of their ends where these are on this host.
 */
import type { ProcStat } from "../parse/proc-stat";

export function isExcludedProcess(stat: ProcStat, agent_pid: number): boolean {
  return stat.kernel_thread || stat.pid === agent_pid || stat.parent_pid === agent_pid;
}

/** The local ports of connections that the agent opened, remembered while the kernel may still show them (TIME_WAIT is 60 s). */
export class OwnConnections {
  private readonly expiry = new Map<string, number>();

  constructor(private readonly now: () => number) {}

  /** Called when a connection is made, and again when it has closed. */
  opened(local_port: number, remote_port: number): void {
    const now = this.now();
    if (this.expiry.size >= sweep_connections) {
      for (const [key, at] of this.expiry) if (at < now) this.expiry.delete(key);
    }
    this.expiry.set(`${local_port}>${remote_port}`, now + remember_ms);
  }

  /** Seen from the agent's end or from the other. */
  has(one_port: number, other_port: number): boolean {
    const key = `${one_port}>${other_port}`;
    return this.isOpen(key) || this.isOpen(`${other_port}>${one_port}`);
  }

  private isOpen(key: string): boolean {
    const at = this.expiry.get(key);
    return at !== undefined && at >= this.now();
  }
}

const remember_ms = 150_000;
const sweep_connections = 1_024;
