/** The collectors over a fake /proc, as the agent composes them; what they tell is kept. */
import { Connections } from "@assay/agent/collect/connections";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { Health } from "@assay/agent/collect/health";
import { Listeners } from "@assay/agent/collect/listeners";
import { ListeningSockets } from "@assay/agent/collect/listening-sockets";
import type { Heard } from "@assay/agent/collect/probe";
import { Prober } from "@assay/agent/collect/prober";
import { ProcessTable } from "@assay/agent/collect/process-table";
import { Processes } from "@assay/agent/collect/processes";
import { SocketOwners } from "@assay/agent/collect/socket-owners";
import { Sockets } from "@assay/agent/collect/socket-snapshot";
import { AccountNames } from "@assay/agent/read/account-names";
import type { ProcReader } from "@assay/agent/read/proc";
import type { ConnectionEvent, ListenerEvent, ProcessEvent } from "@assay/schemas/generated/types";
import { temporaryFolder, write } from "../temporary";

export interface Collected {
  readonly processes: ProcessEvent[];
  readonly connections: ConnectionEvent[];
  readonly listeners: ListenerEvent[];
  readonly dropped: string[];
}

export function collectorsOver(
  proc: ProcReader,
  { agent_pid = 99, window_ms = 10_000, heard }: { agent_pid?: number; window_ms?: number; heard?: Heard } = {},
) {
  let time = 100_000;
  const now = () => time;
  const etc = temporaryFolder();
  write(etc, { "etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/false\n" });
  const told: Collected = { processes: [], connections: [], listeners: [], dropped: [] };
  const mark = (secret: string) => `[REDACTED:${secret.length}]`;
  const names = new AccountNames(etc, now);
  const table = new ProcessTable({ proc, names, mark, boot_ms: 0, agent_pid });
  const listening = new ListeningSockets(proc, now);
  const owners = new SocketOwners(proc, table, agent_pid, now);
  const own = new OwnConnections(now);
  const probed: string[] = [];
  const prober = new Prober({
    enabled: heard !== undefined,
    once_ports: new Set(),
    own,
    probe: async (address, port) => {
      probed.push(`${address}:${port}`);
      return heard as Heard;
    },
  });
  const health = {
    processes: new Health("processes"),
    connections: new Health("connections"),
    listeners: new Health("listeners"),
  };
  const sockets = new Sockets(proc, table, agent_pid);
  const shared = {
    table,
    owners,
    sockets,
    listening,
    names,
    agent_pid,
    window_ms,
    drop: (reason: string) => told.dropped.push(reason),
  };
  const processes = new Processes({ proc, table, listening, health: health.processes, tell: (e) => told.processes.push(e) });
  const connections = new Connections({ ...shared, own, health: health.connections, tell: (e) => told.connections.push(e) });
  const listeners = new Listeners({
    ...shared,
    proc,
    prober,
    snapshot_age_ms_max: 0,
    health: health.listeners,
    tell: (e) => told.listeners.push(e),
  });
  return {
    own,
    probed,
    prober,
    health,
    /** Lets time pass, polls all three, and gives what they tell. */
    async poll(step_ms = 500): Promise<Collected> {
      time += step_ms;
      processes.poll(time);
      await connections.poll(time);
      await listeners.poll(time);
      return {
        processes: told.processes.splice(0),
        connections: told.connections.splice(0),
        listeners: told.listeners.splice(0),
        dropped: told.dropped.splice(0),
      };
    },
  };
}
