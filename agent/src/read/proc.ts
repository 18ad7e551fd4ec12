/**
 * Reads of /proc, as thin as they come: text and numbers, no judgement. Synchronous, because procfs answers from memory and a
 * trip through the thread pool costs more than the read. `root` lets tests put a folder of files in its place.
 */
import { closeSync, openSync, readdirSync, readlinkSync, readSync, statSync } from "node:fs";
import { attempt, type Read } from "./read";

export class ProcReader {
  constructor(readonly root = "/proc") {}

  pids(): number[] {
    const pids: number[] = [];
    for (const name of readdirSync(this.root)) {
      const first = name.charCodeAt(0);
      if (first > 48 && first <= 57) pids.push(Number(name));
    }
    return pids.sort((a, b) => a - b);
  }

  stat(pid: number): Read<string> {
    return this.text(`${this.root}/${pid}/stat`, small_file_bytes_max);
  }

  status(pid: number): Read<string> {
    return this.text(`${this.root}/${pid}/status`, small_file_bytes_max);
  }

  /** The arguments with NULs between them; `cut` where there were more. */
  commandLine(pid: number): Read<{ readonly raw: string; readonly cut: boolean }> {
    const read = this.text(`${this.root}/${pid}/cmdline`, command_line_bytes_max + 1, false);
    if (read.kind !== "read") return read;
    const cut = read.value.length > command_line_bytes_max;
    return { kind: "read", value: { raw: cut ? read.value.slice(0, command_line_bytes_max) : read.value, cut } };
  }

  /** The link's text: deleted files end in " (deleted)". */
  executable(pid: number): Read<string> {
    return attempt(() => readlinkSync(this.executablePath(pid)));
  }

  /** Opens the very file that runs, also when its name is gone or belongs to another mount namespace. */
  executablePath(pid: number): string {
    return `${this.root}/${pid}/exe`;
  }

  currentDirectory(pid: number): Read<string> {
    return attempt(() => readlinkSync(`${this.root}/${pid}/cwd`));
  }

  /**
   * What tells the process's network namespace from others: the inode of its /proc/<pid>/net/tcp, which is one per namespace. Unlike
   * /proc/<pid>/ns/net it needs no right over the process.
   */
  networkNamespace(pid: number): Read<string> {
    return attempt(() => String(statSync(`${this.root}/${pid}/net/tcp`).ino));
  }

  maps(pid: number): Read<string> {
    return this.text(`${this.root}/${pid}/maps`, maps_bytes_max);
  }

  /** Where the process sees /. */
  rootOf(pid: number): string {
    return `${this.root}/${pid}/root`;
  }

  descriptors(pid: number): Read<string[]> {
    return attempt(() => readdirSync(`${this.root}/${pid}/fd`));
  }

  /** "socket:[123]", "/dev/null", … */
  descriptor(pid: number, name: string): Read<string> {
    return attempt(() => readlinkSync(`${this.root}/${pid}/fd/${name}`));
  }

  /** One of tcp, tcp6, udp, udp6, as the process's network namespace has it. */
  socketTable(pid: number, table: SocketTableName): Read<string> {
    return this.text(`${this.root}/${pid}/net/${table}`, socket_table_bytes_max);
  }

  /** How many sockets of IPv6 are in use in the process's network namespace. */
  socketCounts6(pid: number): Read<string> {
    return this.text(`${this.root}/${pid}/net/sockstat6`, small_file_bytes_max);
  }

  file(path: string): Read<string> {
    return this.text(`${this.root}/${path}`, small_file_bytes_max * 16);
  }

  private buffer = Buffer.allocUnsafe(16_384);

  /**
   * lines: the kernel writes the file line by line into a buffer of a page or more, and a read ends where the next line doesn't fit;
   * so one that leaves much of a page free, and had room for it, is the last. To ask for the end instead would make it walk its whole table of TCP
   * sockets a second time.
   */
  private text(path: string, bytes_max: number, lines = true): Read<string> {
    return attempt(() => {
      const fd = openSync(path, "r");
      try {
        let length = 0;
        for (;;) {
          if (length === this.buffer.length) this.grow();
          const room = Math.min(this.buffer.length, bytes_max) - length;
          if (room <= 0) break;
          const read = readSync(fd, this.buffer, length, room, null);
          length += read;
          if (read === 0 || (lines && read < room && read < last_read_bytes_max)) break;
        }
        return this.buffer.toString("utf8", 0, length);
      } finally {
        closeSync(fd);
      }
    });
  }

  private grow(): void {
    const larger = Buffer.allocUnsafe(this.buffer.length * 2);
    this.buffer.copy(larger);
    this.buffer = larger;
  }
}

export type SocketTableName = "tcp" | "tcp6" | "udp" | "udp6";

/** Longer command lines are cut here, before anything looks at them. */
export const command_line_bytes_max = 8_192;
/** A page less a line that is longer than any. */
const last_read_bytes_max = 4_096 - 512;
const small_file_bytes_max = 16_384;
const maps_bytes_max = 4 * 1024 * 1024;
/** About 100,000 sockets. */
const socket_table_bytes_max = 16 * 1024 * 1024;
