/**
 * Since when a host's inventory must have been collected: since the rule packages in force came into force, and since the latest
 * assessment that covers it began. Older inventory was judged by other rules, or not for that assessment.
 */
import type { AssessmentState } from "@assay/control/entities";
import type { ControlView } from "@assay/control/follow";
import { selectableTags, selects } from "@assay/control/select";

export type InventoryControl = Pick<ControlView, "all" | "at" | "latest" | "versionAt" | "revision">;

/** Event time, ms; 0 where nothing asks for any. Selectors on agent: tags see none here, as where assessments wait for their hosts. */
export function inventoryWantedBy(control: InventoryControl): (host_id: string, now: number) => number {
  let known = { revision: -1, running: running(control) };
  return (host_id, now) => {
    if (known.revision !== control.revision) known = { revision: control.revision, running: running(control) };
    const packages = control.at("package", now).map((version) => version.effective_from);
    const tags = selectableTags(host_id, control.latest("agent", host_id)?.value.host_name ?? "", hostTags(control, host_id), {});
    const assessments = known.running
      .filter(({ begins_at, application_id }) => {
        const application = begins_at <= now ? control.versionAt("application", application_id, now) : undefined;
        return application !== undefined && selects(application.value.selector, tags);
      })
      .map(({ begins_at }) => begins_at);
    return Math.max(0, ...packages, ...assessments);
  };
}

function running(control: InventoryControl): { readonly begins_at: number; readonly application_id: string }[] {
  return control.all("assessment").flatMap(({ value }) => (runningStates.has(value.state) ? [value] : []));
}

const runningStates: ReadonlySet<AssessmentState> = new Set(["pending", "collecting"]);

function hostTags(control: InventoryControl, host_id: string): Readonly<Record<string, string>> {
  return control.latest("host", host_id)?.value.tags ?? {};
}
