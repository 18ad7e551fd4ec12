/** CPU time and memory of processes, from /proc; CPU time of the services' threads, from their metrics. */
import { readFileSync } from "node:fs";
import type { NamedProcess } from "./target";

/** The kernel's unit of CPU time in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const ticks_per_second = 100;

export interface Usage {
  readonly cpu_seconds: number;
  readonly peak_bytes: number;
}

/** By name; processes that have ended are left out. */
export function usageOf(processes: readonly NamedProcess[]): Map<string, Usage> {
  const usage = new Map<string, Usage>();
  for (const { name, pid } of processes) {
    const of = readUsage(pid);
    if (!of) continue;
    const before = usage.get(name) ?? { cpu_seconds: 0, peak_bytes: 0 };
    usage.set(name, { cpu_seconds: before.cpu_seconds + of.cpu_seconds, peak_bytes: before.peak_bytes + of.peak_bytes });
  }
  return usage;
}

function readUsage(pid: number): Usage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return {
      cpu_seconds: (Number(fields[11]) + Number(fields[12])) / ticks_per_second,
      peak_bytes: Number(peak?.[1] ?? 0) * 1_024,
    };
  } catch {
    return undefined;
  }
}

export interface ServiceReading {
  /** CPU seconds of the thread of a service, by service. */
  readonly cpu_seconds: ReadonlyMap<string, number>;
  /** Records that a stage hasn't read, by stage. */
  readonly lag_records: ReadonlyMap<string, number>;
  /** p99 of the event loop's delay, by service. */
  readonly loop_p99_ms: ReadonlyMap<string, number>;
}

export async function readServices(metrics_urls: readonly string[]): Promise<ServiceReading> {
  const texts = await Promise.all(metrics_urls.map(async (url) => (await fetch(url)).text()));
  const cpu_seconds = new Map<string, number>();
  const lag_records = new Map<string, number>();
  const loop_p99_ms = new Map<string, number>();
  const add = (to: Map<string, number>, name: string, value: number) => to.set(name, (to.get(name) ?? 0) + value);
  for (const text of texts) {
    for (const [, service = "", value] of text.matchAll(/^assay_(\w+?)_thread_cpu_seconds_total (\S+)$/gm)) {
      add(cpu_seconds, service, Number(value));
    }
    for (const [, stage = "", value] of text.matchAll(/^assay_\w+?_lag_records\{stage="([^"]+)"\} (\S+)$/gm)) {
      add(lag_records, stage, Number(value));
    }
    for (const [, service = "", value] of text.matchAll(
      /^assay_(\w+?)_event_loop_delay_seconds\{[^}]*quantile="0\.99"[^}]*\} (\S+)$/gm,
    )) {
      loop_p99_ms.set(service, Math.max(loop_p99_ms.get(service) ?? 0, Number(value) * 1_000));
    }
  }
  return { cpu_seconds, lag_records, loop_p99_ms };
}
