/** Coverage, exclusions and counts of one assessment, live from the store. */
import type { Assessment } from "@assay/control/entities";
import type { Period } from "./assessment-period";
import type { Member } from "./members";
import { aggregateFindings } from "./queries/finding-aggregations";
import type { AssessmentScope, FindingFilters } from "./queries/finding-filters";
import type { Store } from "./queries/read";
import type { AssessmentCoverage, Exclusion, FindingsBySeverity } from "./schemas/assessment";
import { instant } from "./schemas/values";

/** While it runs, what has been evaluated so far is measured against the time until the last closed window. */
export function coverageOf(period: Period, members: readonly Member[]): AssessmentCoverage {
  const observed = members.flatMap((m) => m.coverage ?? []);
  const lastEnd = observed.reduce((latest, row) => Math.max(latest, row.last_window_end_ms), period.begins_at);
  const through = period.over ? period.ends_at : Math.min(lastEnd, period.ends_at);
  const expected_ms = (through - period.begins_at) * members.length;
  const covered_ms = sum(observed.map((row) => row.covered_ms));
  return {
    begins_at: instant(period.begins_at),
    through: instant(through),
    hosts: members.length,
    hosts_observed: observed.length,
    windows: sum(observed.map((row) => row.windows)),
    covered_share: share(covered_ms, expected_ms),
    late_parts: sum(observed.map((row) => row.late_parts)),
    events: sumsOf(observed.map((row) => row.events)),
    dropped: sumsOf(observed.map((row) => row.dropped)),
  };
}

/** Rounded to four places; 0 where nothing could be expected. */
export function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.min(1, Math.round((part / whole) * 10_000) / 10_000);
}

/** As the coordinator found at the end; before that, what is known so far. */
export function exclusionsOf(assessment: Assessment, members: readonly Member[]): Exclusion[] {
  if (assessment.exclusions.length > 0) return [...assessment.exclusions];
  return members.flatMap(({ host_id, coverage }): Exclusion[] => {
    if (!coverage) return [{ host_id, reason: "silent_host", detail: "no window of this host has been received in the period" }];
    const dropped = Object.entries(coverage.dropped).filter(([, count]) => count > 0);
    if (dropped.length === 0) return [];
    const detail = dropped.map(([kind, count]) => `${count} of ${kind}`).join(", ");
    return [{ host_id, reason: "telemetry_dropped", detail: `the agent dropped ${detail}` }];
  });
}

export async function findingsBySeverity(
  store: Store,
  filters: FindingFilters,
  scope: AssessmentScope | undefined,
): Promise<FindingsBySeverity> {
  const counts: FindingsBySeverity = { critical: 0, high: 0, medium: 0, low: 0, informational: 0 };
  for (const { key, findings } of await aggregateFindings(store, "severity", filters, scope, severities_max)) {
    if (Object.hasOwn(counts, key)) counts[key as keyof FindingsBySeverity] = findings;
  }
  return counts;
}

const severities_max = 16;

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function sumsOf(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const one of counts) for (const [name, count] of Object.entries(one)) total[name] = (total[name] ?? 0) + count;
  return total;
}
