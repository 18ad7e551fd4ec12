/**
 * Code of a process that someone besides root may change or replace: its executable, the libraries that it has mapped, the script that
 * an interpreter runs; each by the file itself and by every folder above it.
 */
import { dirname, resolve } from "node:path";
import type { ProcessFacts } from "../collect/process-table";
import { parseMappedCode } from "../parse/maps";
import { parseArguments } from "../parse/proc-stat";
import { scriptPath } from "../parse/script-path";
import type { AccountNames } from "../read/account-names";
import { linkStat, realPath, stat } from "../read/files";
import type { ProcReader } from "../read/proc";
import { entryReplaceableBy, type InhabitedGroups, type Permissions, writableBy } from "./writable-by";

export interface WritableFile {
  readonly path: string;
  readonly writable_by: "owner" | "group" | "world";
  readonly owner: string;
}

export class WritableCode {
  private readonly ownRoot: string;
  private readonly judged = new Map<string, WritableFile | undefined>();

  constructor(
    private readonly proc: ProcReader,
    private readonly accounts: AccountNames,
    private readonly inhabited: InhabitedGroups,
  ) {
    this.ownRoot = this.rootKey(process.pid);
  }

  of(process: ProcessFacts): WritableFile[] {
    const maps = this.proc.maps(process.pid);
    const paths = new Set(maps.kind === "read" ? parseMappedCode(maps.value) : []);
    if (!process.image_deleted && process.image.startsWith("/")) paths.add(process.image);
    const script = this.script(process);
    if (script !== undefined) paths.add(script);
    return [...paths].flatMap((path) => this.judge(process.pid, path) ?? []);
  }

  private script(process: ProcessFacts): string | undefined {
    const raw = this.proc.commandLine(process.pid); // what is kept of it is redacted and has lost its borders
    if (raw.kind !== "read") return undefined;
    const path = scriptPath(process.image, parseArguments(raw.value.raw));
    if (path === undefined || (!path.startsWith("/") && process.current_directory === "")) return undefined;
    const absolute = resolve(process.current_directory, path);
    const found = stat(this.inside(process.pid, absolute));
    return found.kind === "read" && found.value.isFile() ? absolute : undefined;
  }

  private judge(pid: number, path: string): WritableFile | undefined {
    const root = this.rootKey(pid);
    // The same path in another mount namespace is another file.
    const key = `${root} ${path}`;
    if (this.judged.has(key)) return this.judged.get(key);
    const found = this.weakest(pid, path, root === this.ownRoot);
    if (this.judged.size < judged_max) this.judged.set(key, found);
    return found;
  }

  private rootKey(pid: number): string {
    const root = stat(`${this.proc.rootOf(pid)}/`);
    return root.kind === "read" ? `${root.value.dev}:${root.value.ino}` : String(pid);
  }

  /**
   * The widest permission along the path. Links are looked at where they stand and, in the agent's own file system, where they lead:
   * elsewhere they would be followed in the wrong one. What the kernel says is mapped has no links in it.
   */
  private weakest(pid: number, path: string, sameRoot: boolean): WritableFile | undefined {
    const real = sameRoot ? realPath(path) : undefined;
    const resolved = real?.kind === "read" ? real.value : path;
    const file = stat(this.inside(pid, resolved));
    if (file.kind !== "read") return undefined;
    let worst = { by: writableBy(file.value, this.inhabited), owner: file.value.uid };
    for (const start of new Set([path, resolved])) {
      let entry: Permissions | undefined = permissions(this.inside(pid, start));
      for (let at = start; at !== "/" && entry; at = dirname(at)) {
        const folder: Permissions | undefined = permissions(this.inside(pid, dirname(at)));
        if (!folder) break;
        const by = entryReplaceableBy(folder, entry, this.inhabited);
        if (ranks[by] > ranks[worst.by]) worst = { by, owner: by === "owner" && folder.uid === 0 ? entry.uid : folder.uid };
        entry = folder;
      }
    }
    if (worst.by === "root") return undefined;
    return { path, writable_by: worst.by, owner: this.accounts.user(worst.owner) };
  }

  private inside(pid: number, path: string): string {
    return this.proc.rootOf(pid) + path;
  }
}

const ranks = { root: 0, owner: 1, group: 2, world: 3 } as const;
const judged_max = 50_000;

function permissions(path: string): Permissions | undefined {
  const found = linkStat(path);
  if (found.kind !== "read") return undefined;
  // A link has no permissions of its own: its folder decides.
  return found.value.isSymbolicLink() ? { mode: 0o120755, uid: found.value.uid, gid: found.value.gid } : found.value;
}
