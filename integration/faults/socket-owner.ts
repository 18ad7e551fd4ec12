/** Which of some processes is at the other end of a connection over loopback: from /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Socket } from "node:net";

export function ownerOf(accepted: Socket, pids: readonly number[]): number | undefined {
  const inode = inodeOf(accepted.remotePort, accepted.localPort);
  return inode === undefined ? undefined : pids.find((pid) => hasSocket(pid, inode));
}

function inodeOf(local_port: number | undefined, remote_port: number | undefined): string | undefined {
  if (local_port === undefined || remote_port === undefined) return undefined;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (portOf(fields[1]) === local_port && portOf(fields[2]) === remote_port) return fields[9];
  }
  return undefined;
}

/** Of 0100007F:1F90. */
function portOf(address: string | undefined): number {
  return Number.parseInt(address?.split(":")[1] ?? "", 16);
}

function hasSocket(pid: number, inode: string): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((name) => {
      try {
        return readlinkSync(`${folder}/${name}`) === `socket:[${inode}]`;
      } catch {
        return false; // closed meanwhile
      }
    });
  } catch {
    return false; // ended meanwhile
  }
}
