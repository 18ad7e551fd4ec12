/**
 * The agent's folder: who this host is, what it may send with, and what waits to be sent. One agent at a time uses it.
 *
 *   host-id         lasts: findings hang on it
 *   credential      what ingest took when the agent proved the enrolment secret
 *   redaction-key   makes the marks of secrets the same from start to start
 *   incarnation     of the latest start
 *   agent.pid       who uses the folder: pid and start ticks
 *   spool/          see spool.ts
 */
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseProcStat } from "../parse/proc-stat";
import type { Mark } from "../parse/redact";
import { attempt } from "../read/read";

export class StateFolder {
  private constructor(readonly path: string) {}

  /** Throws where another agent that runs has it open, or it can't be written. */
  static open(path: string): StateFolder {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700); // it may have stood before, with other permissions
    const folder = new StateFolder(path);
    folder.take();
    return folder;
  }

  /** The machine's id, hashed with a word of ours so that it says nothing to others; a random one where the machine has none. */
  hostId(etc_root: string): string {
    return this.kept("host-id", () => {
      const machine = attempt(() => readFileSync(join(etc_root, "etc/machine-id"), "utf8").trim());
      if (machine.kind !== "read" || !/^[0-9a-f]{32}$/.test(machine.value)) return randomUUID();
      const hash = createHmac("sha256", machine.value).update("assay host").digest("hex");
      return [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20, 32)].join("-");
    });
  }

  mark(): Mark {
    const key = Buffer.from(
      this.kept("redaction-key", () => randomBytes(32).toString("hex")),
      "hex",
    );
    return (secret) => `[REDACTED:${createHmac("sha256", key).update(secret).digest("hex").slice(0, mark_digits)}]`;
  }

  credential(): string | undefined {
    const text = this.read("credential");
    return text === undefined || text === "" ? undefined : text;
  }

  keepCredential(credential: string): void {
    this.write("credential", credential);
  }

  /** Grows with each start, also where the clock has been set back. */
  nextIncarnation(now: number): number {
    const before = Number(this.read("incarnation") ?? 0);
    const incarnation = Math.max(now, Number.isSafeInteger(before) ? before + 1 : 0);
    this.write("incarnation", String(incarnation));
    return incarnation;
  }

  close(): void {
    attempt(() => unlinkSync(join(this.path, "agent.pid")));
  }

  private take(): void {
    const holder = this.read("agent.pid");
    const [pid, ticks] = (holder ?? "").split(" ");
    if (pid && ticks && Number(pid) !== process.pid && startTicks(pid) === ticks) {
      throw new Error(`agent state ${this.path} is in use by the agent with pid ${pid} (ASSAY_AGENT_STATE)`);
    }
    this.write("agent.pid", `${process.pid} ${startTicks("self") ?? ""}`);
  }

  private kept(name: string, make: () => string): string {
    const before = this.read(name);
    if (before) return before;
    const made = make();
    this.write(name, made);
    return made;
  }

  private read(name: string): string | undefined {
    const read = attempt(() => readFileSync(join(this.path, name), "utf8").trim());
    if (read.kind === "denied") throw new Error(`agent state ${join(this.path, name)} is not readable (ASSAY_AGENT_STATE)`);
    return read.kind === "read" ? read.value : undefined;
  }

  private write(name: string, text: string): void {
    const path = join(this.path, name);
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}

function startTicks(pid: string): string | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  if (stat.kind !== "read") return undefined;
  const ticks = parseProcStat(stat.value)?.start_ticks;
  return ticks === undefined ? undefined : String(ticks);
}

const mark_digits = 12;
