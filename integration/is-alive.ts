import { readFileSync } from "node:fs";

/** Whether that process runs, or is frozen. One that has ended and that nobody has waited for (a zombie) doesn't. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^\) [ZX]/.test(stat.slice(stat.lastIndexOf(")")));
  } catch {
    return false; // gone
  }
}
