/** Which hosts an application covers: its selector, and those of its tiers, over one host's tags. */
import type { Membership } from "@assay/schemas/generated/types";
import type { Application, Selector } from "./entities";
import type { Versioned } from "./follow";

/** A host's tags as selectors see them: operators' tags, the agent's under agent:, and host (its id) and name. */
export function selectableTags(
  host_id: string,
  host_name: string,
  operators: Readonly<Record<string, string>>,
  agents: Readonly<Record<string, string>>,
): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const [tag, value] of Object.entries(agents)) tags[`agent:${tag}`] = value;
  for (const [tag, value] of Object.entries(operators)) {
    if (!tag.startsWith("agent:")) tags[tag] = value;
  }
  tags.host = host_id;
  tags.name = host_name;
  return tags;
}

export function selects(selector: Selector, tags: Readonly<Record<string, string>>): boolean {
  if ("all" in selector) return selector.all.every((s) => selects(s, tags));
  if ("any" in selector) return selector.any.some((s) => selects(s, tags));
  if ("not" in selector) return !selects(selector.not, tags);
  const value = Object.hasOwn(tags, selector.tag) ? tags[selector.tag] : undefined;
  if ("exists" in selector) return (value !== undefined) === selector.exists;
  return value !== undefined && selector.in.includes(value);
}

/** The applications, in the given order, that cover a host with these tags, each with the tiers that the host is in. */
export function memberships(
  applications: readonly Versioned<Application>[],
  tags: Readonly<Record<string, string>>,
): Membership[] {
  return applications
    .filter((a) => selects(a.value.selector, tags))
    .map((a) => ({
      application_id: a.id,
      version: a.version,
      tiers: a.value.tiers.filter((t) => selects(t.selector, tags)).map((t) => t.name),
    }));
}
