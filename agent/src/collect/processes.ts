/**
 * Tells of processes that start.
 *
 *   met ──next poll──▶ settled: told, with what was read when it was met
 *    ├── has called exec since ──▶ both are told, unless the first was no more than its parent's copy
 *    └── ended ──▶ told
 *   settled ──its short name and image change──▶ told again
 *
 * A shell starts a program by fork and exec; read in between, the child looks like the shell. So a process is told one poll after
 * it was met, with the event time at which it was met.
 *
 * What lives shorter than the poll interval may go unseen: polling /proc shows nothing else.
 */
import type { ProcessEvent } from "@assay/schemas/generated/types";
import type { ProcStat } from "../parse/proc-stat";
import type { ProcReader } from "../read/proc";
import type { Health } from "./health";
import { type ListeningSockets, parent_descriptors_max } from "./listening-sockets";
import { type ProcessFacts, type ProcessTable, startTicks } from "./process-table";

export interface ProcessesOptions {
  readonly proc: ProcReader;
  readonly table: ProcessTable;
  readonly listening: ListeningSockets;
  readonly health: Health;
  readonly tell: (event: ProcessEvent) => void;
}

export class Processes {
  /** Those that this collector has met; the table also holds what other collectors met first. */
  private readonly seen = new Set<number>();
  private readonly unsettled = new Map<number, Met>();
  private first = true;
  /** Known processes are looked at again in turn: this is where the next poll goes on. */
  private turn = 0;
  private polls = 0;

  constructor(private readonly options: ProcessesOptions) {}

  /** After it returns, every event before `now` has been told. */
  poll(now: number): void {
    const { proc, table, health } = this.options;
    const pids = proc.pids();
    const present = new Set(pids);
    for (const pid of [...table.known()]) if (!present.has(pid)) this.ended(pid, now);
    const recheck = this.recheckInTurn(pids);
    for (const pid of pids) {
      if (!this.seen.has(pid)) this.met(pid, table.stat(pid), now);
      else if (this.unsettled.has(pid) || recheck.has(pid)) this.recheck(pid, now);
    }
    if (!present.has(1) && pids.length > 0) health.lacks("processes of other users are hidden (hidepid)", []);
    this.first = false;
  }

  /** Those that wait for the next poll, at the end when there is none. */
  tellUnsettled(): void {
    for (const { event, facts } of this.unsettled.values()) this.tell(event, facts);
    this.unsettled.clear();
  }

  private recheckInTurn(pids: readonly number[]): Set<number> {
    const count = Math.min(pids.length, recheck_per_poll_max);
    const chosen = new Set<number>();
    // Kernel threads call no exec, and their numbers are used again after all others only.
    const excludedToo = this.polls++ % excluded_recheck_polls === 0;
    for (let i = 0; i < count; i++) {
      const pid = pids[(this.turn + i) % pids.length] ?? 0;
      if (excludedToo || this.options.table.entry(pid)?.kind === "process") chosen.add(pid);
    }
    this.turn = pids.length === 0 ? 0 : (this.turn + count) % pids.length;
    return chosen;
  }

  private met(pid: number, stat: ProcStat | undefined, now: number): void {
    if (!stat) return;
    const { table } = this.options;
    const before = table.entry(pid);
    const entry = before && startTicks(before) === stat.start_ticks ? before : table.meet(pid, stat);
    if (!entry) return;
    this.seen.add(pid);
    if (entry.kind === "excluded") return;
    const event = this.event(entry.facts, now);
    if (this.first) this.tell(event, entry.facts);
    else this.unsettled.set(pid, { event, facts: entry.facts });
  }

  private recheck(pid: number, now: number): void {
    const { table } = this.options;
    const stat = table.stat(pid);
    const entry = table.entry(pid);
    if (!stat || !entry) {
      this.ended(pid, now);
      return;
    }
    if (stat.start_ticks !== startTicks(entry)) {
      this.ended(pid, now); // the number has gone to another process
      this.met(pid, stat, now);
      return;
    }
    if (entry.kind === "excluded") return;
    const met = this.unsettled.get(pid);
    this.unsettled.delete(pid);
    if (met === undefined && stat.name === entry.facts.name) return;
    const before = entry.facts;
    const after = stat.state === "Z" ? before : (table.reread(stat) ?? before);
    const changed = !sameProgram(before, after);
    if (met && !(changed && this.isCopyOfParent(met))) this.tell(met.event, met.facts);
    if (changed) this.tell(this.event(after, now, met?.event), after);
  }

  private ended(pid: number, now: number): void {
    const { table } = this.options;
    const entry = table.entry(pid);
    const met = this.unsettled.get(pid);
    // Another collector met it, and it ended before this one came round.
    const unseen = entry?.kind === "process" && !this.seen.has(pid) ? entry.facts : undefined;
    this.unsettled.delete(pid);
    this.seen.delete(pid);
    if (met) this.tell(met.event, met.facts);
    else if (unseen) this.tell(this.event(unseen, now), unseen);
    table.forget(pid);
  }

  private isCopyOfParent(met: Met): boolean {
    return met.event.image === met.event.parent_image && met.event.command_line === met.event.parent_command_line;
  }

  /** Of a process that changed its image, the parent is what it was when the process was met. */
  private event(facts: ProcessFacts, now: number, before?: ProcessEvent): ProcessEvent {
    return {
      at: now,
      pid: facts.pid,
      parent_pid: before?.parent_pid ?? facts.parent_pid,
      started_at: facts.started_at,
      already_running: this.first,
      image: facts.image,
      image_deleted: facts.image_deleted,
      command_line: facts.command_line,
      current_directory: facts.current_directory,
      user: facts.user,
      ...(before ? parentOf(before) : this.parent(facts)),
    };
  }

  private parent(facts: ProcessFacts): ParentFields {
    const { table, listening } = this.options;
    const parent = facts.parent_pid > 0 ? table.get(facts.parent_pid) : undefined;
    const listens = parent ? listening.portsOf(parent.pid, parent.start_ticks) : { kind: "gone" as const };
    return {
      parent_image: parent?.image ?? "",
      parent_command_line: parent?.command_line ?? "",
      parent_user: parent?.user ?? "",
      parent_listens: listens.kind === "read" ? listens.value.ports : [],
      ancestors: table.ancestors(facts),
    };
  }

  private tell(event: ProcessEvent, facts: ProcessFacts): void {
    const { health, table, listening } = this.options;
    if (facts.missing.length > 0) health.lacks("processes of other users are readable in part", facts.missing);
    const parent = table.entry(event.parent_pid);
    if (parent?.kind === "process") {
      if (parent.facts.missing.length > 0) {
        health.lacks(
          "parents that belong to other users are readable in part",
          parent.facts.missing.flatMap((field) => parentFields[field] ?? []),
        );
      }
      const listens = listening.portsOf(parent.facts.pid, parent.facts.start_ticks);
      if (listens.kind === "denied") {
        health.lacks("sockets of parents that belong to other users are not readable", ["ParentListensOn"]);
      } else if (listens.kind === "read" && listens.value.cut) {
        health.lacks(cutDescriptors, ["ParentListensOn"]);
      }
    }
    this.options.tell(event);
  }
}

interface Met {
  readonly event: ProcessEvent;
  readonly facts: ProcessFacts;
}

type ParentFields = Pick<ProcessEvent, "parent_image" | "parent_command_line" | "parent_user" | "parent_listens" | "ancestors">;

function parentOf(event: ProcessEvent): ParentFields {
  const { parent_image, parent_command_line, parent_user, parent_listens, ancestors } = event;
  return { parent_image, parent_command_line, parent_user, parent_listens, ancestors };
}

const parentFields: Readonly<Record<string, string>> = {
  Image: "ParentImage",
  CommandLine: "ParentCommandLine",
  User: "ParentUser",
};

const cutDescriptors =
  `of parents with more than ${parent_descriptors_max} descriptors the rest are not looked through for listening sockets ` +
  "(parent_descriptors_max)";

function sameProgram(a: ProcessFacts, b: ProcessFacts): boolean {
  return a.image === b.image && a.command_line === b.command_line;
}

/** Past this many processes, an exec or a reused number is noticed some polls later. */
const recheck_per_poll_max = 256;
const excluded_recheck_polls = 20;
