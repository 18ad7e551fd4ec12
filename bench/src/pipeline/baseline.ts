/** The kept result of an earlier run, in bench/baseline/, to compare with by ratio: machines differ, so nothing fails by it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Result } from "./result";

interface Baseline {
  readonly offered: Result["offered"];
  readonly events_per_second: number;
  readonly cpu_seconds_per_million: Readonly<Record<string, number>>;
  readonly finding_ms: { readonly p50: number; readonly p99: number };
}

const directory = join(__dirname, "../../baseline");

export function keepBaseline(result: Result): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(fileOf(result), `${JSON.stringify(baselineOf(result), undefined, 2)}\n`);
}

/** Lines for people. */
export function compareWithBaseline(result: Result): string[] {
  if (!existsSync(fileOf(result))) return ["", "no baseline yet (--keep writes one)"];
  const before = JSON.parse(readFileSync(fileOf(result), "utf8")) as Baseline;
  const now = baselineOf(result);
  const ratio = (a: number, b: number | undefined) => (b === undefined || b === 0 ? "new" : `${(a / b).toFixed(2)} x`);
  return [
    "",
    "compared with the baseline:",
    `  events/s ${ratio(now.events_per_second, before.events_per_second)}, finding p50 ${ratio(now.finding_ms.p50, before.finding_ms.p50)}, p99 ${ratio(now.finding_ms.p99, before.finding_ms.p99)}`,
    ...Object.entries(now.cpu_seconds_per_million).map(
      ([name, seconds]) => `  CPU of ${name} ${ratio(seconds, before.cpu_seconds_per_million[name])}`,
    ),
  ];
}

function baselineOf(result: Result): Baseline {
  const { offered, events, events_per_second, cpu_seconds, finding_ms } = result;
  return {
    offered,
    events_per_second: Math.round(events_per_second),
    cpu_seconds_per_million: Object.fromEntries(
      [...cpu_seconds].map(([name, seconds]) => [name, Number(((seconds / events) * 1e6).toFixed(2))]),
    ),
    finding_ms: { p50: finding_ms.p50, p99: finding_ms.p99 },
  };
}

function fileOf(result: Result): string {
  return join(directory, `pipeline-${result.mode}.json`);
}
