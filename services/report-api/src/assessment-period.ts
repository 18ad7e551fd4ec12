/** Which stretch of event time an assessment speaks of, and what its findings are drawn from. */
import type { Assessment } from "@assay/control/entities";
import type { Versioned } from "@assay/control/follow";
import type { AssessmentScope } from "./queries/finding-filters";

export interface Period extends AssessmentScope {
  /** Whether all of it has passed, so that what needs the whole period can have been judged. */
  readonly over: boolean;
  readonly continuous: boolean;
}

/** Until now where the end is still to come. `now`: milliseconds since 1970. */
export function periodOf(assessment: Versioned<Assessment>, now: number): Period {
  const { begins_at, ends_at, application_id, packages } = assessment.value;
  return {
    assessment_id: assessment.id,
    application_id,
    packages,
    begins_at,
    ends_at: Math.max(begins_at, Math.min(ends_at ?? now, now)),
    over: ends_at !== null && ends_at <= now,
    continuous: ends_at === null,
  };
}
