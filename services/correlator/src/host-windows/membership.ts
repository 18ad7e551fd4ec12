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
      assessments: assessments
        .filter((a) => ids.has(a.value.application_id))
        .flatMap((a) => spanAt(a, isContinuous(control, a), window_start, window_end)),
    };
  };
}

/** One that was stopped has an end, yet it began without one. */
function isContinuous(control: ControlView, { id }: Versioned<Assessment>): boolean {
  return control.versions("assessment", id)[0]?.value.ends_at === null;
}

function spanAt(
  { id, value }: Versioned<Assessment>,
  continuous: boolean,
  window_start: number,
  window_end: number,
): AssessmentSpan[] {
  const { application_id, begins_at, state } = value;
  const ends_at = value.ends_at ?? Number.MAX_SAFE_INTEGER;
  if (state === "cancelled" || window_start < begins_at || window_end > ends_at) return [];
  const of = { assessment_id: id, application_id };
  if (!continuous) return [{ ...of, begins_at, ends_at }];
  const round = begins_at + Math.floor((window_start - begins_at) / round_ms) * round_ms;
  return [{ ...of, begins_at: round, ends_at: Math.min(round + round_ms, ends_at) }];
}
