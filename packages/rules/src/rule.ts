/** What a rule is once loaded, and what it is asked of. Shapes only. */

export type Severity = "critical" | "high" | "medium" | "low" | "informational";
export const severities: readonly Severity[] = ["critical", "high", "medium", "low", "informational"];

/**
 * event: something happened in a window. state: something is so, as of a time. assessment: needs the whole period of an
 * assessment, or of a 24 h round of a continuous one.
 */
export type Scope = "event" | "state" | "assessment";

export type Outcome = "match" | "clear" | "not_applicable" | "insufficient_evidence" | "error";

export interface Rule {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly author: string;
  readonly severity: Severity;
  readonly category: string;
  readonly product: string | undefined;
  readonly service: string | undefined;
  readonly scope: Scope;
  /** Fields (Sigma names) that tell one finding from another on a resource. Empty: one finding per resource. */
  readonly identity: readonly string[];
  readonly remediation: string;
  readonly references: readonly string[];
  readonly tags: readonly string[];
  /** Control ids by framework, such as { "pci-dss-4.0": ["2.2.4"] }. */
  readonly controls: Readonly<Record<string, readonly string[]>>;
  readonly platforms: readonly string[];
  readonly package: string;
  /** Every field that the detection, or the identity, reads. */
  readonly fields: readonly string[];
  /** File and line, for messages. */
  readonly source: string;
}

export type FieldValue = string | number | boolean | null | readonly (string | number)[];

/** One thing that rules are asked of: an observation, a flow, a setting group, an executable. */
export interface EvidenceItem {
  readonly category: string;
  readonly product: string;
  readonly service?: string;
  readonly fields: Readonly<Record<string, FieldValue>>;
}
