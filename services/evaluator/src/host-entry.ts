/** What evaluate-host-windows keeps of a host, and what it works with. */
import type { Codec } from "@assay/schemas/codec";
import type { Coverage } from "./coverage";
import type { Engine } from "./engine";
import type { Findings } from "./findings";
import type { KeyedState, RulesInForce } from "./keyed-state";
import type { Outcomes } from "./outcomes";
import type { RuleSets } from "./rule-sets";

/** A host, as it stands in a checkpoint. */
export interface HostEntry {
  /** Of the last part: incarnation, seq_to, window_start. */
  mark: [number, number, number];
  /** Event time through which it has been evaluated. */
  event_time: number;
  coverage: Coverage;
  outcomes: Outcomes;
  findings: Findings;
  /** Of assessments that have not ended. */
  spans: Span[];
  /** That it was last evaluated with. */
  rules: RulesInForce;
}
export type HostWindowsState = KeyedState<HostEntry>;

/** [begins_at, ends_at) */
export type Span = [number, number];

export interface HostWindowsParts {
  readonly codec: Codec;
  readonly engine: Engine;
  readonly rule_sets: RuleSets;
  /** The row of a finding on a listener is written again after this much event time, if nothing else changes. */
  readonly state_refresh_ms: number;
}
