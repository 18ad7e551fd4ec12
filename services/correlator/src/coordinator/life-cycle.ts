/**
 * The life of an assessment:
 *
 *   pending ──begins_at passes──► collecting ──ends_at passes──► collected ──► evaluating
 *   evaluating ──every member host and the application evaluated through ends_at──► completed
 *   evaluating ──a host silent beyond its timeout──► completed_with_errors, with an exclusion that names it; after an outage
 *                of ours the timeout begins anew, for what hosts and log kept meanwhile
 *   any of these ──stop without evaluating──► cancelled
 *
 * A continuous assessment collects until it is stopped. scheduled and failed are for schedules and for what can't be evaluated.
 */
import type { Assessment, AssessmentState } from "@assay/control/entities";
import type { ControlView } from "@assay/control/follow";
import { memberships, selectableTags } from "@assay/control/select";
import type { ControlRecord } from "@assay/schemas/generated/types";

export function isOver(state: AssessmentState): boolean {
  return state === "completed" || state === "completed_with_errors" || state === "cancelled" || state === "failed";
}

export function moved(assessment: Assessment, state: AssessmentState, at: number, reason: string): Assessment {
  return { ...assessment, state, history: [...assessment.history, { state, at, reason }] };
}

/** Event time through which the evaluator has written each host, and each application. */
export interface Evaluated {
  readonly hosts: ReadonlyMap<string, number>;
  readonly applications: ReadonlyMap<string, number>;
}

export interface LifeCycleSettings {
  readonly lateness_ms: number;
  /** Past an assessment's end plus this, hosts whose windows didn't come are excluded. */
  readonly silent_after_ms: number;
}

/** The transitions that are due; none twice, as each changes the state that it looks at. since: when the coordinator began. */
export function advance(
  control: Pick<ControlView, "all" | "at" | "versionAt">,
  evaluated: Evaluated,
  now: number,
  since: number,
  settings: LifeCycleSettings,
): ControlRecord[] {
  return control.all("assessment").flatMap((assessment) => {
    let value = assessment.value;
    if (isOver(value.state)) return [];
    const states = value.history.length;
    if (value.state === "pending" && now >= value.begins_at) value = moved(value, "collecting", now, "its first window began");
    if (value.state === "collecting" && value.ends_at !== null && now >= value.ends_at)
      value = moved(value, "collected", now, "its last window ended");
    if (value.state === "collected") value = moved(value, "evaluating", now, "waiting for the evidence to be evaluated");
    if (value.state === "evaluating") value = finished(control, value, evaluated, now, since, settings) ?? value;
    if (value.history.length === states) return [];
    const { id, version, effective_from } = assessment;
    return [
      { kind: "assessment", id, version: version + 1, at: now, effective_from, command_id: "", body: JSON.stringify(value) },
    ];
  });
}

function finished(
  control: Pick<ControlView, "all" | "at" | "versionAt">,
  assessment: Assessment,
  evaluated: Evaluated,
  now: number,
  since: number,
  settings: LifeCycleSettings,
): Assessment | undefined {
  const { ends_at, begins_at, application_id } = assessment;
  if (ends_at === null) return undefined;
  const members = memberHosts(control, application_id, begins_at);
  const missing = members.filter((host_id) => (evaluated.hosts.get(host_id) ?? 0) < ends_at);
  const applicationDone = (evaluated.applications.get(application_id) ?? 0) >= ends_at;
  if (members.length > 0 && missing.length === 0 && applicationDone) {
    return moved(assessment, "completed", now, `${members.length} host(s) evaluated through the end`);
  }
  if (now < Math.max(ends_at, since) + settings.lateness_ms + settings.silent_after_ms) return undefined;
  const exclusions = missing.map((host_id) => {
    const through = evaluated.hosts.get(host_id);
    const reason = through === undefined ? "never_reported" : "silent_host";
    const detail =
      through === undefined
        ? "no window of this host was evaluated"
        : `evaluated through ${new Date(through).toISOString()} only`;
    return { host_id, reason, detail };
  });
  if (members.length === 0)
    exclusions.push({ host_id: "", reason: "no_hosts", detail: `no enrolled host is in application ${application_id}` });
  if (exclusions.length === 0) {
    exclusions.push({
      host_id: "",
      reason: "topology_not_evaluated",
      detail: "the application's last window was not evaluated in time",
    });
  }
  return { ...moved(assessment, "completed_with_errors", now, `${exclusions.length} exclusion(s)`), exclusions };
}

/** Enrolled hosts that the application selects by operators' tags; what agents say of themselves isn't known here. */
function memberHosts(control: Pick<ControlView, "all" | "versionAt">, application_id: string, at: number): string[] {
  const application = control.versionAt("application", application_id, at);
  if (!application) return [];
  return control.all("agent").flatMap((agent) => {
    const operators = control.versionAt("host", agent.id, at)?.value.tags ?? {};
    const tags = selectableTags(agent.id, agent.value.host_name, operators, {});
    return memberships([application], tags).length > 0 ? [agent.id] : [];
  });
}
