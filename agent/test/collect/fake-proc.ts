/** A folder that looks like /proc to the agent's readers. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ProcReader } from "@assay/agent/read/proc";
import { link, temporaryFolder, write } from "../temporary";

export interface FakeProcess {
  readonly pid: number;
  readonly parent?: number;
  readonly name?: string;
  readonly ticks?: number;
  readonly args?: readonly string[];
  readonly image?: string;
  readonly uid?: number;
  readonly state?: string;
  readonly kernel?: boolean;
  /** Socket numbers. */
  readonly sockets?: readonly number[];
  /** Another network namespace than the host's. */
  readonly namespace?: string;
}

export interface FakeSocket {
  /** address:port, IPv4. */
  readonly local: string;
  readonly remote?: string;
  readonly state?: number;
  readonly inode?: number;
}

export class FakeProc {
  readonly root = temporaryFolder();
  readonly reader = new ProcReader(this.root);

  constructor() {
    write(this.root, { "sys/net/ipv4/ip_local_port_range": "32768\t60999\n" });
    this.sockets("host", {});
  }

  run(process: FakeProcess): void {
    const { pid, parent = 1, name = "x", ticks = pid, args = [], image, uid = 0, state = "S", kernel = false } = process;
    this.end(pid);
    const flags = kernel ? 0x00200000 : 0x00400000;
    write(join(this.root, String(pid)), {
      stat: `${pid} (${name}) ${state} ${parent} 1 1 0 -1 ${flags} 0 0 0 0 0 0 0 0 20 0 1 0 ${ticks} 0 0\n`,
      status: `Name:\t${name}\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`,
      cmdline: args.map((a) => `${a}\0`).join(""),
    });
    if (image !== undefined) link(this.root, `${pid}/exe`, image);
    link(this.root, `${pid}/cwd`, "/srv");
    link(this.root, `${pid}/net`, join(this.root, "namespaces", process.namespace ?? "host"));
    mkdirSync(join(this.root, String(pid), "fd"));
    for (const [i, inode] of (process.sockets ?? []).entries()) link(this.root, `${pid}/fd/${i + 3}`, `socket:[${inode}]`);
  }

  end(pid: number): void {
    rmSync(join(this.root, String(pid)), { recursive: true, force: true });
  }

  /** In place, so that the files keep their inodes, by which namespaces are told apart. */
  sockets(namespace: string, tables: { tcp?: readonly FakeSocket[]; udp?: readonly FakeSocket[] }): void {
    for (const name of ["tcp", "udp"] as const) {
      const folder = join(this.root, "namespaces", namespace);
      mkdirSync(folder, { recursive: true });
      const rows = (tables[name] ?? []).map(socketLine);
      writeFileSync(join(folder, name), ["  sl  local_address rem_address   st", ...rows, ""].join("\n"));
    }
  }
}

function socketLine({ local, remote = "0.0.0.0:0", state = 1, inode = 0 }: FakeSocket): string {
  return `   0: ${hex(local)} ${hex(remote)} ${state.toString(16).padStart(2, "0")} 0:0 00:0 0     0        0 ${inode} 1 0`;
}

function hex(endpoint: string): string {
  const [address = "", port] = endpoint.split(":");
  const bytes = address.split(".").map((b) => Number(b).toString(16).padStart(2, "0"));
  return `${bytes.reverse().join("")}:${Number(port).toString(16).padStart(4, "0")}`.toUpperCase();
}
