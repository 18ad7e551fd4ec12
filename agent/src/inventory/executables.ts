/**
 * The distinct executables that run: how each was hardened, and whether code that root loads may be changed by others. Read through
 * /proc/<pid>/exe and /proc/<pid>/root, so that deleted files and other mount namespaces are seen as the process sees them.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { ExecutablesSection } from "@assay/schemas/inventory";
import type { ProcessFacts, ProcessTable } from "../collect/process-table";
import { type ElfFacts, readElf } from "../parse/elf";
import type { AccountNames } from "../read/account-names";
import type { ProcReader } from "../read/proc";
import { failure } from "../read/read";
import { type Collected, collected } from "./section";
import { SliceTimer } from "./slice-timer";
import type { InhabitedGroups } from "./writable-by";
import { WritableCode } from "./writable-code";

export type Executable = ExecutablesSection["executables"][number];

export interface ExecutablesOptions {
  readonly proc: ProcReader;
  readonly table: ProcessTable;
  readonly accounts: AccountNames;
}

export class Executables {
  /** By device, inode, size and time of change: what was read once holds. */
  private hardening = new Map<string, Judged>();

  constructor(private readonly options: ExecutablesOptions) {}

  async collect(inhabited: InhabitedGroups): Promise<Collected<"executables">> {
    const slices = new SliceTimer();
    const byFile = new Map<string, Group>();
    const judged = new Map<string, Judged>();
    let unreadable = 0;
    for (const facts of [...this.options.table.processes()].sort((a, b) => a.start_ticks - b.start_ticks)) {
      if (facts.zombie) continue;
      await slices.turn();
      const file = await this.examine(facts.pid, judged);
      if (file === "gone") continue;
      if (file === "denied") {
        unreadable++;
        continue;
      }
      const key = `${facts.image} ${file.key}`;
      const group = byFile.get(key) ?? { facts: file.judged, processes: [] };
      group.processes.push(facts);
      byFile.set(key, group);
    }
    this.hardening = judged;
    const writable = new WritableCode(this.options.proc, this.options.accounts, inhabited);
    const executables: Executable[] = [];
    for (const group of byFile.values()) {
      await slices.turn();
      executables.push(await this.describe(group, writable, slices));
    }
    executables.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : Number(a.deleted) - Number(b.deleted)));
    const content = { executables, unreadable };
    if (unreadable === 0) return collected<"executables">(content);
    return { status: "partial", reason: `executables of ${unreadable} processes are not readable`, content };
  }

  private async examine(pid: number, judged: Map<string, Judged>): Promise<{ key: string; judged: Judged } | "gone" | "denied"> {
    let handle: FileHandle;
    try {
      handle = await open(this.options.proc.executablePath(pid), "r");
    } catch (error) {
      return failure(error).kind;
    }
    try {
      const { dev, ino, size, mtimeMs } = await handle.stat();
      const key = `${dev}:${ino}:${size}:${mtimeMs}`;
      const known = judged.get(key) ?? this.hardening.get(key) ?? (await judge(handle));
      judged.set(key, known);
      return { key, judged: known };
    } catch (error) {
      return failure(error).kind;
    } finally {
      await handle.close();
    }
  }

  private async describe({ facts, processes }: Group, writable: WritableCode, slices: SliceTimer): Promise<Executable> {
    const [oldest] = processes;
    const ofRoot = processes.filter((p) => p.uid === 0);
    const code = new Map<string, Executable["writable_code"][number]>();
    for (const process of ofRoot) {
      await slices.turn();
      for (const found of writable.of(process)) code.set(found.path, found);
    }
    return {
      path: oldest?.image ?? "",
      deleted: oldest?.image_deleted ?? false,
      users: [...new Set(processes.map((p) => p.user))].sort(),
      runs_as_root: ofRoot.length > 0,
      command_line: oldest?.command_line ?? "",
      format: facts.format,
      ...(facts.elf ? { hardening: facts.elf } : {}),
      writable_code: [...code.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    };
  }
}

interface Judged {
  readonly format: Executable["format"];
  readonly elf: ElfFacts | undefined;
}

interface Group {
  readonly facts: Judged;
  readonly processes: ProcessFacts[];
}

async function judge(handle: FileHandle): Promise<Judged> {
  const elf = await readElf(async (offset, length) => {
    const buffer = Buffer.allocUnsafe(Math.max(0, length));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    return buffer.subarray(0, bytesRead);
  }).catch((error: unknown) => {
    // Tables that point outside the file: a damaged or a crafted executable, which is no reason to stop.
    if (error instanceof RangeError) return undefined;
    throw error;
  });
  if (elf) return { format: "elf", elf };
  const start = Buffer.alloc(2);
  await handle.read(start, 0, 2, 0);
  return { format: start.toString("latin1") === "#!" ? "script" : "other", elf: undefined };
}
