/**
 * What the agent knows of the processes that run: each is read once, when it is first met, and again when the kernel's short name
 * for it changes (it called exec). Shared by the collectors, so that an owner of a socket is no second read.
 */
import {
  type ProcStat,
  parseArguments,
  parseEffectiveUid,
  parseExecutableLink,
  parseProcStat,
  startTime,
} from "../parse/proc-stat";
import { type Mark, redactArguments } from "../parse/redact";
import type { AccountNames } from "../read/account-names";
import type { ProcReader } from "../read/proc";
import { isExcludedProcess } from "./excluded";

export interface ProcessFacts {
  readonly pid: number;
  readonly parent_pid: number;
  readonly start_ticks: number;
  readonly started_at: number;
  readonly name: string;
  readonly image: string;
  readonly image_deleted: boolean;
  /** Redacted. */
  readonly command_line: string;
  readonly current_directory: string;
  readonly uid: number;
  readonly user: string;
  /** Undefined where it isn't readable. */
  readonly network_namespace: string | undefined;
  /** Sigma names of what this user could not read. */
  readonly missing: readonly string[];
  readonly zombie: boolean;
}

export type Entry =
  | { readonly kind: "excluded"; readonly start_ticks: number }
  | { readonly kind: "process"; facts: ProcessFacts };

export function startTicks(entry: Entry): number {
  return entry.kind === "process" ? entry.facts.start_ticks : entry.start_ticks;
}

export interface ProcessTableOptions {
  readonly proc: ProcReader;
  readonly names: AccountNames;
  readonly mark: Mark;
  readonly boot_ms: number;
  readonly agent_pid: number;
}

export class ProcessTable {
  private readonly entries = new Map<number, Entry>();

  constructor(private readonly options: ProcessTableOptions) {}

  /** Reads it where it isn't known yet; undefined where it has ended or is excluded. */
  get(pid: number): ProcessFacts | undefined {
    const entry = this.entries.get(pid) ?? this.meet(pid);
    return entry?.kind === "process" ? entry.facts : undefined;
  }

  entry(pid: number): Entry | undefined {
    return this.entries.get(pid);
  }

  known(): IterableIterator<number> {
    return this.entries.keys();
  }

  forget(pid: number): void {
    this.entries.delete(pid);
  }

  /** Undefined where it has ended. */
  stat(pid: number): ProcStat | undefined {
    const read = this.options.proc.stat(pid);
    return read.kind === "read" ? parseProcStat(read.value) : undefined;
  }

  meet(pid: number, stat = this.stat(pid)): Entry | undefined {
    if (!stat) return undefined;
    const entry = this.read(stat);
    if (entry) this.entries.set(pid, entry);
    return entry;
  }

  /** Reads again; undefined where it has ended meanwhile, and then what was known stays. */
  reread(stat: ProcStat): ProcessFacts | undefined {
    const entry = this.read(stat);
    if (entry?.kind !== "process") return undefined;
    this.entries.set(stat.pid, entry);
    return entry.facts;
  }

  *processes(): IterableIterator<ProcessFacts> {
    for (const entry of this.entries.values()) if (entry.kind === "process") yield entry.facts;
  }

  /** Command lines, the parent's first. */
  ancestors(facts: ProcessFacts): string[] {
    const lines: string[] = [];
    let pid = facts.parent_pid;
    while (pid > 0 && lines.length < ancestors_max) {
      const parent = this.get(pid);
      if (!parent || parent.parent_pid === pid) break;
      lines.push(cut(parent.command_line, ancestor_length_max));
      pid = parent.parent_pid;
    }
    return lines;
  }

  private read(stat: ProcStat): Entry | undefined {
    const { proc, names, boot_ms, agent_pid } = this.options;
    if (isExcludedProcess(stat, agent_pid)) return { kind: "excluded", start_ticks: stat.start_ticks };
    const { pid } = stat;
    const status = proc.status(pid);
    if (status.kind === "gone") return undefined;
    const missing: string[] = [];
    const uid = status.kind === "read" ? parseEffectiveUid(status.value) : undefined;
    if (uid === undefined) missing.push("User");
    const command = proc.commandLine(pid);
    if (command.kind === "denied") missing.push("CommandLine");
    const args = command.kind === "read" ? parseArguments(command.value.raw) : [""];
    const redactedArgs = redactArguments(args, this.options.mark);
    const redacted = redactedArgs.join(" ");
    const zombie = stat.state === "Z" || stat.state === "X";
    const executable = proc.executable(pid);
    const directory = proc.currentDirectory(pid);
    if (directory.kind === "denied") missing.push("CurrentDirectory");
    const link = executable.kind === "read" ? parseExecutableLink(executable.value) : undefined;
    const image = link?.path ?? imageFromCommandLine(redactedArgs, stat.name);
    // A first word that is a path is as good as the link; a title such as "sshd: somebody" is not.
    if (executable.kind === "denied" && !image.startsWith("/")) missing.push("Image");
    const namespace = proc.networkNamespace(pid);
    return {
      kind: "process",
      facts: {
        pid,
        parent_pid: stat.parent_pid,
        start_ticks: stat.start_ticks,
        started_at: startTime(boot_ms, stat.start_ticks),
        name: stat.name,
        image,
        image_deleted: link?.deleted ?? false,
        command_line: command.kind === "read" && command.value.cut ? `${redacted}…` : redacted,
        current_directory: directory.kind === "read" ? directory.value : "",
        uid: uid ?? -1,
        user: uid === undefined ? "" : names.user(uid),
        network_namespace: namespace.kind === "read" ? namespace.value : undefined,
        missing,
        zombie,
      },
    };
  }
}

/** An ended process that waits for its parent has no command line any more: the kernel's short name stays. */
function imageFromCommandLine(args: readonly string[], name: string): string {
  const first = args[0] ?? "";
  return first === "" ? name : (first.split(" ")[0] ?? first);
}

function cut(text: string, length_max: number): string {
  return text.length > length_max ? `${text.slice(0, length_max)}…` : text;
}

const ancestors_max = 8;
/** An event carries up to eight of them, so they are cut shorter than a process's own. */
const ancestor_length_max = 1_024;
