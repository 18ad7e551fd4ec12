/**
 * One process owns the log. Its id stands in the log itself, written in a transaction, and counts only as long as that very process
 * lives: so the lock ends with its holder, however that ends.
 */
import { readFileSync } from "node:fs";
import type { Environment } from "./environment";

/** Takes the log for this process; waits up to wait_ms for an owner that is about to end. */
export async function takeOwnership(environment: Environment, wait_ms: number): Promise<void> {
  const deadline = performance.now() + wait_ms;
  const me = thisProcess();
  for (;;) {
    const holder = await environment.write(() => {
      const owner = readOwner(environment);
      if (owner && isAlive(owner)) return owner;
      environment.meta.put(owner_key, JSON.stringify(me));
      return undefined;
    });
    if (!holder) return;
    if (holder.pid === me.pid) throw new Error(`the log in ${environment.directory} is already open in this process`);
    if (performance.now() >= deadline) {
      throw new Error(
        `the data directory ${environment.directory} is in use by process ${holder.pid}: end that one or name another directory (ASSAY_DATA_DIR)`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, retry_wait_ms));
  }
}

export async function giveUpOwnership(environment: Environment): Promise<void> {
  await environment.write(() => {
    if (readOwner(environment)?.pid === process.pid) environment.meta.remove(owner_key);
  });
}

/** Throws unless this process is the owner: a thread must not attach to another process's log. */
export function checkOwnership(environment: Environment): void {
  const owner = readOwner(environment);
  if (owner?.pid !== process.pid) {
    throw new Error(
      `the log in ${environment.directory} is ${owner ? `owned by process ${owner.pid}` : "not open"}: ` +
        "a thread attaches to the log that its own process has opened",
    );
  }
}

interface OwningProcess {
  readonly pid: number;
  /** Clock ticks after boot at which it began; with the boot's id it tells a process from a later one of the same pid. */
  readonly began: string;
  readonly boot: string;
}

const owner_key = "owner";
const retry_wait_ms = 200;

function readOwner(environment: Environment): OwningProcess | undefined {
  const text = environment.meta.get(owner_key);
  return text === undefined ? undefined : (JSON.parse(text) as OwningProcess);
}

function thisProcess(): OwningProcess {
  return { pid: process.pid, began: beginOf(process.pid) ?? "", boot: bootId() };
}

function isAlive(owner: OwningProcess): boolean {
  return owner.boot === bootId() && beginOf(owner.pid) === owner.began;
}

/** Field 22 of /proc/<pid>/stat; undefined when there is no such process, or only its remains. The name before it may hold blanks. */
function beginOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ended = fields[0] === "Z" || fields[0] === "X";
    return ended ? undefined : fields[19];
  } catch {
    return undefined; // no such process
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
