/**
 * The hosts of an assessment: those with a window that it covered, and enrolled ones that its application selects although nothing
 * came from them. The second kind is why a silent host shows as not assessed instead of not at all.
 */
import { selectableTags, selects } from "@assay/control/select";
import type { Period } from "./assessment-period";
import type { ControlReader } from "./control";
import { coverageOfAssessment, type HostCoverageRow, tagsWithin } from "./queries/assessment-coverage";
import type { Store } from "./queries/read";

export interface Member {
  readonly host_id: string;
  readonly host_name: string;
  /** undefined: no window of it in the period. */
  readonly coverage: HostCoverageRow | undefined;
}

/** By host id. */
export async function membersOf(store: Store, control: ControlReader, period: Period): Promise<Member[]> {
  const members = new Map<string, Member>();
  for (const coverage of await coverageOfAssessment(store, period)) {
    members.set(coverage.host_id, { host_id: coverage.host_id, host_name: coverage.host_name, coverage });
  }
  for (const host of await selectedAgents(store, control, period, members)) {
    members.set(host.host_id, { ...host, coverage: undefined });
  }
  return [...members.values()].sort((a, b) => (a.host_id < b.host_id ? -1 : 1));
}

/** What an agent says of itself holds for this long after its last window. */
const agent_tags_ms_max = 24 * 3_600_000;

async function selectedAgents(
  store: Store,
  control: ControlReader,
  period: Period,
  covered: ReadonlyMap<string, Member>,
): Promise<{ host_id: string; host_name: string }[]> {
  const application = applicationOf(control, period);
  const agents = control.all("agent").filter(({ value }) => !covered.has(value.host_id) && value.enrolled_at < period.ends_at);
  if (!application || agents.length === 0) return [];
  const told = await tagsWithin(store, period.begins_at - agent_tags_ms_max, period.ends_at);
  const tagsOf = new Map(told.map((row) => [row.host_id, agentTags(row.tags)]));
  return agents
    .map(({ value }) => value)
    .filter(({ host_id, host_name }) => {
      const operators = control.latest("host", host_id)?.value.tags ?? {};
      return selects(application.value.selector, selectableTags(host_id, host_name, operators, tagsOf.get(host_id) ?? {}));
    });
}

/** The application as the assessment's begin saw it. */
export function applicationOf(control: Pick<ControlReader, "versionAt" | "latest">, period: Period) {
  return (
    control.versionAt("application", period.application_id, period.begins_at) ??
    control.latest("application", period.application_id)
  );
}

const agent_prefix = "agent:";

function agentTags(tags: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(tags).filter(([tag]) => tag.startsWith(agent_prefix));
  return Object.fromEntries(own.map(([tag, value]) => [tag.slice(agent_prefix.length), value]));
}
