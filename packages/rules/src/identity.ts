/**
 * What tells one finding from another. The encoding below never changes: a finding's first-seen time hangs on its id, so another
 * encoding would make every finding of every user a new one.
 */
import { createHash } from "node:crypto";
import type { EvidenceItem, FieldValue, Rule } from "./rule";

export type Identity = Readonly<Record<string, string>>;
export type ResourceKind = "host" | "application";

/** The values of the rule's identity fields, as text; empty where the item lacks the field. */
export function identityOf(rule: Pick<Rule, "identity">, item: EvidenceItem): Record<string, string> {
  return Object.fromEntries(rule.identity.map((field) => [field, identityText(item.fields[field])]));
}

/**
 * The first 32 hex digits of the SHA-256 of the JSON array [rule id, "host" or "application", resource id, [[field, value], …]],
 * fields in the order of their UTF-16 code units, without blanks.
 */
export function findingId(rule_id: string, resource_kind: ResourceKind, resource_id: string, identity: Identity): string {
  const pairs = Object.entries(identity).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const encoded = JSON.stringify([rule_id, resource_kind, resource_id, pairs]);
  return createHash("sha256").update(encoded).digest("hex").slice(0, 32);
}

/** A list is a set here: the order in which an agent happens to tell it makes no other finding. */
function identityText(value: FieldValue | undefined): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return JSON.stringify(value.map(String).sort());
  return String(value);
}
