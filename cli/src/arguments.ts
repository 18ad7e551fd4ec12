/** Values of options, parsed once, with errors that say what would be right. */
import { type Severity, severities } from "@assay/rules/rule";
import { InvalidArgumentError } from "commander";

const duration_min_ms = 60_000;
const duration_max_ms = 31 * 86_400_000;
const units_ms: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** 90s, 15m, 1h, 1d; at least a minute, at most 31 days. */
export function parseDuration(text: string): number {
  const parsed = /^(\d{1,7})(s|m|h|d)$/.exec(text);
  if (!parsed) throw new InvalidArgumentError(`write a number and a unit, such as 60s, 15m, 1h or 1d.`);
  const ms = Number(parsed[1]) * (units_ms[parsed[2] ?? ""] ?? 0);
  if (ms < duration_min_ms) throw new InvalidArgumentError("the shortest assessment takes 1m (60s).");
  if (ms > duration_max_ms) throw new InvalidArgumentError("the longest assessment takes 31d.");
  return ms;
}

/** 0s, 90s, 15m, 1h, 7d. */
export function parseWait(text: string): number {
  const parsed = /^(\d{1,7})(s|m|h|d)$/.exec(text);
  if (!parsed) throw new InvalidArgumentError("write a number and a unit, such as 30s, 15m, 1h or 7d.");
  return Number(parsed[1]) * (units_ms[parsed[2] ?? ""] ?? 0);
}

const port_max = 65_535;

/** 0 lets the system choose a free one. */
export function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > port_max)
    throw new InvalidArgumentError(`a port is a number from 0 to ${port_max}.`);
  return Number(text);
}

/** a,b,c: without repeats. Whether they exist is judged where they are known. */
export function parseNames(text: string): readonly string[] {
  const names = [...new Set(text.split(",").map((name) => name.trim()))].filter((name) => name !== "");
  if (names.length === 0) throw new InvalidArgumentError("write names, separated by commas.");
  return names;
}

export function parseSeverity(text: string): Severity {
  const found = severities.find((s) => s === text.toLowerCase());
  if (!found) throw new InvalidArgumentError(`severities are ${severities.join(", ")}.`);
  return found;
}

/** As it would be typed: 60000 → 1m, 90000 → 90s. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m"]) {
    const size = units_ms[unit] ?? 1;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${Math.round(ms / 1_000)}s`;
}
