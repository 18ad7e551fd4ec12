/** Which applications and assessments cover a host in a window: control's versions in force when the window starts. */

import type { Assessment } from "@assay/control/entities";
import type { ControlView, Versioned } from "@assay/control/follow";
import { memberships, selectableTags } from "@assay/control/select";
import type { AssessmentSpan } from "@assay/schemas/generated/types";
import type { Membership } from "./close-part";

/** A continuous assessment is judged in rounds of this length. */
export const round_ms = 24 * 3_600_000;

export function membershipBy(control: ControlView): Membership {
  let revision = -1;
  let at = Number.NaN;
  let applications: ReturnType<typeof control.at<"application">> = [];
  let assessments: Versioned<Assessment>[] = [];
  return (host, window_start, window_end) => {
    if (control.revision !== revision || at !== window_start) {
      revision = control.revision;
      at = window_start;
      applications = control.at("application", window_start);
      assessments = control.at("assessment", window_start);
    }
    const operators = control.versionAt("host", host.host_id, window_start)?.value.tags ?? {};
    const tags = selectableTags(host.host_id, host.host_name, operators, host.agent_tags);
    const covering = memberships(applications, tags);
    const ids = new Set(covering.map((m) => m.application_id));
    return {
      tags,
      applications: covering,
      assessments: assessments.filter((a) => ids.has(a.value.application_id)).flatMap((a) => spanAt(a, window_start, window_end)),
    };
  };
}

function spanAt(assessment: Versioned<Assessment>, window_start: number, window_end: number): AssessmentSpan[] {
  const { application_id, begins_at, ends_at, state } = assessment.value;
  if (state === "cancelled" || window_start < begins_at || (ends_at !== null && window_end > ends_at)) return [];
  const round = begins_at + Math.floor((window_start - begins_at) / round_ms) * round_ms;
  const span =
    ends_at !== null && ends_at - begins_at <= round_ms
      ? { begins_at, ends_at }
      : { begins_at: round, ends_at: Math.min(round + round_ms, ends_at ?? Number.MAX_SAFE_INTEGER) };
  return [{ assessment_id: assessment.id, application_id, ...span }];
}
