/** Matches of one evaluation, gathered by finding: several observations may be of one finding. */
import type { EvidenceItem, Rule } from "@assay/rules/rule";
import type { Engine } from "./engine";
import { type EvidenceJson, evidenceJson } from "./evidence-json";
import type { Sighting } from "./findings";

export interface Matched {
  readonly rule: Rule;
  readonly item: EvidenceItem;
  readonly times: { readonly count: number; readonly first: number; readonly last: number };
  readonly evidence: () => EvidenceJson;
}

interface Gathered {
  rule: Rule;
  identity: Record<string, string>;
  count: number;
  first: number;
  last: number;
  observations: number;
  evidence: () => EvidenceJson;
}

export class Sightings {
  private readonly by_finding = new Map<string, Gathered>();
  /** Ids of rules that matched. */
  readonly matched = new Set<string>();

  constructor(
    private readonly engine: Pick<Engine, "findingId" | "identity">,
    private readonly kind: "host" | "application",
    private readonly resource: string,
  ) {}

  add(match: Matched): void {
    const { rule, times } = match;
    this.matched.add(rule.id);
    const identity = this.engine.identity(rule, match.item);
    const id = this.engine.findingId(rule.id, this.kind, this.resource, identity);
    const known = this.by_finding.get(id);
    if (!known) {
      const { count, first, last } = times;
      this.by_finding.set(id, { rule, identity, count, first, last, observations: 1, evidence: match.evidence });
      return;
    }
    if (times.last > known.last) known.evidence = match.evidence;
    known.count += times.count;
    known.first = Math.min(known.first, times.first);
    known.last = Math.max(known.last, times.last);
    known.observations++;
  }

  has(finding_id: string): boolean {
    return this.by_finding.has(finding_id);
  }

  /** occurrences "each": every event counts; "once": the evaluation as a whole does. */
  *all(of: {
    readonly ruleset: string;
    readonly at: number;
    readonly until: number;
    readonly late: boolean;
    readonly occurrences: (rule: Rule) => "each" | "once";
  }): Generator<Sighting> {
    for (const [finding_id, gathered] of this.by_finding) {
      const { rule, identity, count, first, last, observations } = gathered;
      const more = observations > 1 ? { observations } : {};
      yield {
        finding_id,
        rule,
        ruleset: of.ruleset,
        identity,
        at: of.at,
        until: of.until,
        first,
        last,
        occurrences: of.occurrences(rule) === "each" ? count : 1,
        late: of.late,
        evidence: evidenceJson({ ...gathered.evidence(), ...more }),
      };
    }
  }
}
