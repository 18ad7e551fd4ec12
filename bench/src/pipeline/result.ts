/** What a run of the pipeline showed, and how it is told. */
import { cpus, totalmem } from "node:os";
import { formatCount, renderTable } from "@assay/cli/report/columns";

export interface Result {
  readonly mode: "embedded" | "kafka";
  readonly offered: { readonly rate: number; readonly seconds: number; readonly hosts: number; readonly unique_share: number };
  /** Delivered and answered. */
  readonly events: number;
  readonly bytes_per_event: number;
  readonly seconds: number;
  readonly events_per_second: number;
  /** How late a batch was sent, at most: grows where the pipeline can't keep up. */
  readonly late_ms_max: number;
  readonly lag_records_max: ReadonlyMap<string, number>;
  /** From the last batch until the last finding could be read; window and lateness are in it. */
  readonly drained_seconds: number;
  /** While telemetry was delivered. */
  readonly cpu_seconds: ReadonlyMap<string, number>;
  readonly peak_bytes: ReadonlyMap<string, number>;
  readonly loop_p99_ms: ReadonlyMap<string, number>;
  readonly finding_ms: { readonly p50: number; readonly p99: number; readonly count: number };
  readonly window_ms: number;
  readonly lateness_ms: number;
  readonly problems: readonly string[];
}

const mebibyte = 1_048_576;

export function printResult(result: Result): void {
  const { offered, events } = result;
  const per_million = (seconds: number) => ((seconds / events) * 1e6).toFixed(2);
  const lines = [
    "",
    `pipeline, ${result.mode}: ${formatCount(offered.rate)} events/s offered for ${offered.seconds} s by ${formatCount(offered.hosts)} hosts on ${cpus().length} cores, ${Math.round(totalmem() / 1024 / mebibyte)} GiB`,
    `  40 distinct observations a host and window, 10 flows, 120-byte command lines, ${offered.unique_share * 100} % unique; ${result.bytes_per_event.toFixed(0)} bytes an event`,
    "",
    `  delivered             ${formatCount(events)} events in ${result.seconds.toFixed(1)} s: ${formatCount(Math.round(result.events_per_second))} events/s`,
    `  latest batch          ${formatCount(Math.round(result.late_ms_max))} ms after it was due`,
    `  last finding          ${result.drained_seconds.toFixed(1)} s after the last batch`,
    `  event to finding      p50 ${(result.finding_ms.p50 / 1e3).toFixed(1)} s, p99 ${(result.finding_ms.p99 / 1e3).toFixed(1)} s (${formatCount(result.finding_ms.count)} events; windows of ${result.window_ms / 1e3} s, lateness ${result.lateness_ms / 1e3} s)`,
    "",
    renderTable(
      ["", "CPU s", "CPU s per million events", "peak MiB", "loop p99 ms"],
      [...result.cpu_seconds].map(([name, seconds]) => [
        name,
        seconds.toFixed(1),
        per_million(seconds),
        result.peak_bytes.has(name) ? Math.round((result.peak_bytes.get(name) ?? 0) / mebibyte) : "",
        result.loop_p99_ms.get(name.replace("thread ", ""))?.toFixed(1) ?? "",
      ]),
    ),
    "",
    renderTable(
      ["stage", "records behind, at most"],
      [...result.lag_records_max].map(([stage, records]) => [stage, records]),
    ),
    "",
    ...(result.problems.length === 0
      ? ["  The audit adds up: every event once, every marked event with its finding."]
      : result.problems.map((problem) => `  NOT OK  ${problem}`)),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
