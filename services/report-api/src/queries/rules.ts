/** Rules in force, as the evaluator last wrote them. */
import { type Params, read, type Store } from "./read";

export interface RuleRow {
  readonly rule_id: string;
  readonly package: string;
  readonly title: string;
  readonly description: string;
  readonly author: string;
  readonly severity: string;
  readonly category: string;
  readonly scope: string;
  readonly remediation: string;
  readonly references: readonly string[];
  readonly tags: readonly string[];
  readonly controls: Readonly<Record<string, readonly string[]>>;
  readonly platforms: readonly string[];
  readonly ruleset: string;
}

/** By id. Packages empty: of every package. */
export function rulesOf(store: Store, packages: readonly string[]): Promise<RuleRow[]> {
  return select(store, "removed = 0 AND (empty({packages:Array(String)}) OR package IN {packages:Array(String)})", { packages });
}

/** Also removed ones: their findings still stand. */
export function rulesById(store: Store, ids: readonly string[]): Promise<RuleRow[]> {
  return select(store, "rule_id IN {ids:Array(String)}", { ids });
}

function select(store: Store, where: string, params: Params): Promise<RuleRow[]> {
  const sql = `SELECT rule_id, package, title, description, author, severity, category, scope, remediation, references, tags,
  controls, platforms, ruleset
FROM assay.rules FINAL
WHERE ${where}
ORDER BY rule_id`;
  return read<RuleRow>(store, sql, params);
}
