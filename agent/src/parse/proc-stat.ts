/** /proc/<pid>/stat and status, /proc/stat: see proc(5). */

export interface ProcStat {
  readonly pid: number;
  /** The kernel's short name: at most 15 bytes, changed by exec and by the process itself. */
  readonly name: string;
  /** R, S, D, Z, … */
  readonly state: string;
  readonly parent_pid: number;
  readonly kernel_thread: boolean;
  /** Ticks between boot and start: with the pid, names the process. */
  readonly start_ticks: number;
}

/** Undefined where the text isn't such a line. The name may hold spaces and parentheses: it ends at the last one. */
export function parseProcStat(text: string): ProcStat | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  const rest = text.slice(close + 2).split(" ");
  const [state, parent] = rest;
  const flags = Number(rest[6]);
  const start_ticks = Number(rest[19]);
  const pid = Number(text.slice(0, open));
  if (state === undefined || parent === undefined || !Number.isInteger(pid + flags + start_ticks)) return undefined;
  return {
    pid,
    name: text.slice(open + 1, close),
    state,
    parent_pid: Number(parent),
    kernel_thread: (flags & kernel_thread_flag) !== 0,
    start_ticks,
  };
}

/** PF_KTHREAD of include/linux/sched.h. */
const kernel_thread_flag = 0x00200000;

/** The effective user: what the process may do now. */
export function parseEffectiveUid(status: string): number | undefined {
  const match = /^Uid:\s+\d+\s+(\d+)/m.exec(status);
  return match ? Number(match[1]) : undefined;
}

/** When the machine started, from /proc/stat, in ms. */
export function parseBootTime(stat: string): number | undefined {
  const match = /^btime (\d+)$/m.exec(stat);
  return match ? Number(match[1]) * 1000 : undefined;
}

/** USER_HZ, which is 100 on every Linux that Node runs on. */
const ticks_per_second = 100;

export function startTime(boot_ms: number, start_ticks: number): number {
  return boot_ms + Math.round((start_ticks * 1000) / ticks_per_second);
}

const deletedSuffix = " (deleted)";

export function parseExecutableLink(link: string): { readonly path: string; readonly deleted: boolean } {
  return link.endsWith(deletedSuffix)
    ? { path: link.slice(0, -deletedSuffix.length), deleted: true }
    : { path: link, deleted: false };
}

/** The arguments of /proc/<pid>/cmdline; a title that a process gave itself is one argument. */
export function parseArguments(raw: string): string[] {
  return raw.replace(/\0+$/, "").split("\0");
}
