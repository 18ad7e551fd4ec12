/** Why a record became a dead letter: the closed set that metrics and `assay dead-letters` use. */
export const deadLetterReasons = [
  "not_wire_format",
  "unknown_schema",
  "incompatible_schema",
  "malformed_body",
  "unexpected_schema",
  "wrong_host",
  "out_of_bounds",
  "invalid_body",
] as const;
export type DeadLetterReason = (typeof deadLetterReasons)[number];

/** Not why a record was dead-lettered: the mark, beside a dead letter, that it was replayed. */
export const replayed_reason = "replayed";
