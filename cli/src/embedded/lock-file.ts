/**
 * One Assay per data directory: a file that names the process that has it, by id and start time, so that a process of an earlier
 * boot, or another one that got the id, doesn't count. What an ended one left behind is taken over.
 *
 * The log's and the engine's own locks stand behind it; this one is for the clear message.
 */
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { UserError } from "../io";

export interface HeldLock {
  /** Whether a process that had it ended without giving it back: its children may still be ending. */
  readonly was_left_behind: boolean;
  release(): void;
}

/** Throws UserError where a running process has it. */
export function lockFile(path: string, what: string): HeldLock {
  const own = `${process.pid} ${startTime(process.pid)}\n`;
  const draft = `${path}.${process.pid}`;
  rmSync(draft, { force: true }); // left behind by a process that had our id
  writeFileSync(draft, own, { mode: 0o644, flag: "wx" });
  try {
    let was_left_behind = false;
    for (let attempt = 0; attempt < attempts_max; attempt++) {
      if (linked(draft, path)) return { was_left_behind, release: () => release(path, own) };
      const holder = runningHolder(path);
      if (holder !== undefined)
        throw new UserError(
          `${what} is in use by process ${holder}: stop that one first, or choose another (--data, ASSAY_DATA_DIR)`,
        );
      rmSync(path, { force: true });
      was_left_behind = true;
    }
    throw new UserError(`${path} could not be taken: another Assay is starting with it`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The id of the running process that has the lock. */
export function runningHolder(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const [pid, started] = text.trim().split(" ");
  return pid !== undefined && started !== undefined && startTime(Number(pid)) === started ? Number(pid) : undefined;
}

const attempts_max = 5;

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function release(path: string, own: string): void {
  try {
    if (readFileSync(path, "utf8") === own) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Field 22 of /proc/<pid>/stat with the boot's id: together they tell one process from every other. Empty where there is none. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (afterName[0] === "Z") return "";
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${afterName[19]}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return "";
    throw error;
  }
}
