/** Hosts as the API shows them, from control, coverage and inventory. */

import { share } from "./assessment-summary";
import type { ControlReader } from "./control";
import {
  coverageWithin,
  inventorySections,
  type LastWindowRow,
  lastWindows,
  type RangeCoverageRow,
  type SectionRow,
} from "./queries/hosts";
import type { Store } from "./queries/read";
import type { Host } from "./schemas/host";
import { instant, instantOrNull } from "./schemas/values";
import { showEvidence } from "./show";

/** Times: milliseconds since 1970; coverage over [from, to). */
export interface HostQuestion {
  readonly from: number;
  readonly to: number;
  readonly now: number;
  readonly silent_after_ms: number;
}

/** In the order of the ids, one for each. */
export async function describeHosts(
  store: Store,
  control: Pick<ControlReader, "latest">,
  ids: readonly string[],
  question: HostQuestion,
): Promise<Host[]> {
  if (ids.length === 0) return [];
  const [windows, coverage, sections] = await Promise.all([
    lastWindows(store, ids),
    coverageWithin(store, ids, question.from, question.to),
    inventorySections(store, ids),
  ]);
  const windowOf = new Map(windows.map((row) => [row.host_id, row]));
  const coverageOf = new Map(coverage.map((row) => [row.host_id, row]));
  const sectionsOf = new Map<string, SectionRow[]>(ids.map((id) => [id, []]));
  for (const row of sections) sectionsOf.get(row.host_id)?.push(row);
  return ids.map((id) => describe(id, control, windowOf.get(id), coverageOf.get(id), sectionsOf.get(id) ?? [], question));
}

function describe(
  id: string,
  control: Pick<ControlReader, "latest">,
  window: LastWindowRow | undefined,
  coverage: RangeCoverageRow | undefined,
  sections: readonly SectionRow[],
  question: HostQuestion,
): Host {
  const agent = control.latest("agent", id)?.value;
  const active = window !== undefined && question.now - window.received_through_ms <= question.silent_after_ms;
  return {
    id,
    name: window?.host_name ?? sections[0]?.host_name ?? agent?.host_name ?? "",
    os: osOf(sections),
    agent_version: window?.agent_version ?? "",
    enrolled_at: instantOrNull(agent?.enrolled_at),
    tags: { ...agentsOwn(window?.tags ?? {}), ...control.latest("host", id)?.value.tags },
    applications: [...(window?.applications ?? [])],
    last_seen: instantOrNull(window?.last_window_end_ms),
    health: active ? "active" : "silent",
    coverage: coverageOver(coverage, question),
    collectors: Object.entries(window?.collectors ?? {}).map(([name, state]) => collector(name, state)),
    inventory: sections.map((row) => ({
      section: row.section,
      status: row.status as Host["inventory"][number]["status"],
      reason: row.reason,
      collected_at: instant(row.collected_at_ms),
      age_ms: Math.max(0, question.now - row.collected_at_ms),
    })),
  };
}

function coverageOver(row: RangeCoverageRow | undefined, { from, to, now }: HostQuestion): Host["coverage"] {
  const expected_ms = row ? Math.min(to, now) - Math.max(from, row.first_window_start_ms) : 0;
  return {
    from: instant(from),
    to: instant(to),
    windows: row?.windows ?? 0,
    covered_share: share(row?.covered_ms ?? 0, expected_ms),
    late_parts: row?.late_parts ?? 0,
    events: { ...row?.events },
    dropped: { ...row?.dropped },
    drop_reasons: { ...row?.drop_reasons },
  };
}

/** Operators' tags come from control, as they are now. */
function agentsOwn(tags: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(tags).filter(([tag]) => tag.startsWith("agent:")));
}

/** Stored as its status, or status:reason. */
function collector(name: string, state: string): Host["collectors"][number] {
  const colon = state.indexOf(":");
  return colon < 0
    ? { name, status: state, reason: "" }
    : { name, status: state.slice(0, colon), reason: state.slice(colon + 1) };
}

const osFields = ["id", "version_id", "pretty_name", "kernel_release", "architecture"] as const;

function osOf(sections: readonly SectionRow[]): Host["os"] {
  const content = showEvidence(sections.find((row) => row.section === "os")?.os_content ?? "");
  if (typeof content !== "object" || content === null) return null;
  const known = Object.entries(content).filter(
    ([field, value]) => (osFields as readonly string[]).includes(field) && typeof value === "string",
  );
  return Object.fromEntries(known) as Host["os"];
}
