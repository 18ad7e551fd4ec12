/** Occurrences that the delivered events call for, and those that were found, by host and rule. */
import { type ApiAccess, allFindings } from "./scenario-api";
import { type Delivered, markedRules } from "./synthetic-host";

export type Occurrences = ReadonlyMap<string, number>;

export function expectedFindings(delivered: ReadonlyMap<string, Delivered>): Occurrences {
  const expected = new Map<string, number>();
  for (const [host_id, { marked }] of delivered) {
    for (const [rule, count] of Object.entries(marked)) expected.set(`${host_id} ${rule}`, count);
  }
  return expected;
}

export async function foundFindings(assay: ApiAccess, delivered: ReadonlyMap<string, Delivered>): Promise<Occurrences> {
  const rules: readonly string[] = Object.values(markedRules);
  const found = new Map<string, number>();
  for (const { host_id, rule_id, occurrences } of await allFindings(assay)) {
    if (!delivered.has(host_id) || !rules.includes(rule_id)) continue;
    const id = `${host_id} ${rule_id}`;
    found.set(id, (found.get(id) ?? 0) + occurrences);
  }
  return found;
}

export interface Difference {
  readonly what: string;
  readonly expected: number;
  readonly found: number;
}

export function differences(expected: Occurrences, found: Occurrences): Difference[] {
  return [...new Set([...expected.keys(), ...found.keys()])]
    .map((what) => ({ what, expected: expected.get(what) ?? 0, found: found.get(what) ?? 0 }))
    .filter((d) => d.expected !== d.found);
}
