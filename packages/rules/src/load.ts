/**
 * Rule packages → a rule set, or every problem that they have. Loading reads data and runs none of it. What the engine doesn't support
 * is a problem, never skipped.
 */

import { FieldSlots } from "./compile/field-view";
import type { Placeholders } from "./compile/modifiers";
import type { Problem } from "./problem";
import { readRuleFile } from "./rule-file";
import { type CompiledRule, type PackageSummary, RuleSet } from "./rule-set";
import { YamlSource } from "./yaml-source";

export interface PackageFiles {
  readonly name: string;
  readonly version: string;
  /** SHA-256, hex, over the sorted paths and texts. */
  readonly digest: string;
  /** package.yml among them, where there is one. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

export type Loaded = { readonly ruleset: RuleSet } | { readonly problems: readonly Problem[] };

export interface LoadOptions {
  /** What `expand` puts in place of %name%. */
  readonly placeholders?: Placeholders;
}

export const manifest = "package.yml";
export const rules_max = 20_000;

export function loadPackages(packages: readonly PackageFiles[], options: LoadOptions = {}): Loaded {
  const problems: Problem[] = [];
  const slots = new FieldSlots();
  const compiled: CompiledRule[] = [];
  const summaries: PackageSummary[] = [];
  const origins = new Map<string, string>();
  for (const pack of packages) {
    summaries.push(summarize(pack, problems));
    for (const { path, text } of pack.files) {
      if (path === manifest) continue;
      const file = { package: pack.name, path, text };
      const read = readRuleFile(file, { slots, placeholders: options.placeholders ?? {} });
      if ("problems" in read) problems.push(...read.problems);
      else if (isNew(read, origins, problems, `${pack.name}/${path}`)) compiled.push(read);
    }
  }
  if (compiled.length > rules_max) {
    const message = `${compiled.length} rules are more than the limit of ${rules_max}; load fewer packages`;
    problems.push({ file: packages[0]?.name ?? "", line: 1, column: 1, message });
  }
  return problems.length > 0 ? { problems } : { ruleset: new RuleSet(summaries, compiled, slots) };
}

function isNew({ rule }: CompiledRule, origins: Map<string, string>, problems: Problem[], file: string): boolean {
  const origin = origins.get(rule.id);
  if (origin !== undefined) {
    const message = `the id ${rule.id} is also that of ${origin}; give one of them a new one`;
    problems.push({ file, line: 1, column: 1, message });
    return false;
  }
  origins.set(rule.id, file);
  return true;
}

function summarize(pack: PackageFiles, problems: Problem[]): PackageSummary {
  const { name, version, digest } = pack;
  const text = pack.files.find((file) => file.path === manifest)?.text;
  if (text === undefined) return { name, version, digest, title: name, description: "" };
  const { title, description } = readManifest(`${name}/${manifest}`, text, problems);
  return { name, version, digest, title: title ?? name, description: description ?? "" };
}

const manifestKeys = ["name", "title", "version", "description"] as const;
export type Manifest = Partial<Record<(typeof manifestKeys)[number], string>>;

/** What a package.yml says; problems are added to the list. */
export function readManifest(file: string, text: string, problems: Problem[]): Manifest {
  const source = new YamlSource(file, text);
  const root = source.root ?? null;
  const entries = root === null ? [] : (source.entries(root, "a package.yml") ?? []);
  const found: Manifest = {};
  for (const { key, at, value } of entries) {
    const known = manifestKeys.find((k) => k === key);
    const content = known && source.text(value, key);
    if (!known) source.report(at, `a package has no '${key}'; it has ${manifestKeys.join(", ")}`);
    else if (content !== undefined) found[known] = content;
  }
  for (const key of manifestKeys) {
    if (root !== null && !entries.some((entry) => entry.key === key)) source.report(root, `the package lacks '${key}'`);
  }
  problems.push(...source.problems);
  return found;
}
