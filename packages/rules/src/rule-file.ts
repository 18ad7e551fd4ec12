/** One rule file → a compiled rule, or the problems that it has. */
import { isScalar, type Node } from "yaml";
import { type AssayPart, readAssayPart } from "./assay-part";
import { categoryNamed } from "./categories";
import { type CompileContext, compileDetection } from "./compile/detection";
import { type Logsource, readLogsource } from "./logsource";
import type { Problem } from "./problem";
import { type Rule, type Severity, severities } from "./rule";
import type { CompiledRule } from "./rule-set";
import { type Entry, YamlSource } from "./yaml-source";

export interface RuleFile {
  readonly package: string;
  readonly path: string;
  readonly text: string;
}

export function readRuleFile(file: RuleFile, context: CompileContext): CompiledRule | { readonly problems: readonly Problem[] } {
  const source = new YamlSource(`${file.package}/${file.path}`, file.text);
  const compiled = source.root && readRule(source, source.root, file, context);
  return compiled && source.problems.length === 0 ? compiled : { problems: source.problems };
}

/** Keys whose presence makes a file something else than a rule. */
const otherKinds: Readonly<Record<string, string>> = {
  correlation: "correlation rules are not supported yet",
  filter: "Sigma filters are not supported yet; exclude in the rule's own detection",
  action: "rule collections ('action: global', 'reset', 'repeat') are not supported; write each rule out in a file of its own",
};

function readRule(source: YamlSource, root: Node, file: RuleFile, context: CompileContext): CompiledRule | undefined {
  const entries = new Map((source.entries(root, "a rule") ?? []).map((entry) => [entry.key, entry]));
  const other = Object.keys(otherKinds).find((key) => entries.has(key));
  if (other !== undefined) return source.report(entries.get(other)?.at, otherKinds[other] ?? "");
  checkTaxonomy(source, entries.get("taxonomy"));
  const title = source.text(entries.get("title")?.value ?? root, "title (what the rule finds)");
  const logsource = readLogsource(source, root, entries.get("logsource"));
  const detection = entries.get("detection");
  if (!detection) source.report(root, "the rule has no detection");
  const severity = readLevel(source, entries.get("level"));
  const assayEntry = entries.get("assay");
  const assay = assayEntry && logsource && readAssayPart(source, root, entries, assayEntry, logsource);
  const compiled = detection && compileDetection(source, detection.value, context);
  if (title === undefined || !logsource || !severity || !compiled) return undefined;
  if (assay) checkFields(source, assay, logsource.category, compiled.fields, detection);
  const rule: Rule = {
    id: textOr(source, entries.get("id"), `${file.package}/${file.path}`),
    title,
    description: textOr(source, entries.get("description"), ""),
    author: textOr(source, entries.get("author"), ""),
    severity,
    ...logsource,
    ...ownPart(assay, logsource),
    references: textsOr(source, entries.get("references")),
    tags: textsOr(source, entries.get("tags")),
    package: file.package,
    fields: fieldsOfRule(compiled.fields, assay?.identity ?? defaultIdentity(logsource.category)),
    source: `${source.file}:${source.lineOf(detection.at)}`,
  };
  return { rule, test: compiled.test, cases: assay?.cases ?? [] };
}

function ownPart(assay: AssayPart | undefined, { category, product }: Logsource) {
  if (assay) {
    const { scope, identity, remediation, controls, platforms } = assay;
    return { scope, identity, remediation, controls, platforms };
  }
  return {
    scope: categoryNamed(category)?.scopes[0] ?? ("event" as const),
    identity: defaultIdentity(category),
    remediation: "",
    controls: {},
    platforms: product !== undefined && operatingSystems.has(product) ? [product] : [],
  };
}

/** Products that are a platform; others, such as zeek or aws, say where events come from. */
const operatingSystems: ReadonlySet<string> = new Set(["linux", "windows", "macos"]);

function defaultIdentity(category: string): readonly string[] {
  return categoryNamed(category)?.identity ?? [];
}

function fieldsOfRule(detection: ReadonlySet<string>, identity: readonly string[]): string[] {
  return [...new Set([...detection, ...identity])].sort();
}

function checkTaxonomy(source: YamlSource, entry: Entry | undefined): void {
  const taxonomy = entry && source.text(entry.value, "taxonomy");
  if (taxonomy !== undefined && taxonomy !== "sigma") {
    source.report(entry?.at, `the taxonomy '${taxonomy}' is not supported; use Sigma's own field names`);
  }
}

/** A level is optional in Sigma; what has none is between the extremes. */
function readLevel(source: YamlSource, entry: Entry | undefined): Severity | undefined {
  if (!entry) return "medium";
  const level = source.text(entry.value, "level")?.toLowerCase();
  const known = severities.find((severity) => severity === level);
  if (level !== undefined && !known) source.report(entry.value, `level must be one of ${severities.join(", ")}, not '${level}'`);
  return known;
}

function textOr(source: YamlSource, entry: Entry | undefined, otherwise: string): string {
  if (!entry || (isScalar(entry.value) && (entry.value.value === null || entry.value.value === ""))) return otherwise;
  return source.text(entry.value, entry.key) ?? otherwise;
}

function textsOr(source: YamlSource, entry: Entry | undefined): string[] {
  if (!entry || (isScalar(entry.value) && entry.value.value === null)) return [];
  return source.texts(entry.value, entry.key) ?? [];
}

/** Rules of ours read what the field table has, and nothing else. */
function checkFields(source: YamlSource, assay: AssayPart, category: string, read: ReadonlySet<string>, detection: Entry): void {
  const unknown = [...read].filter((field) => assay.known && !assay.known.has(field));
  if (unknown.length > 0 && assay.known) {
    source.report(
      detection.at,
      `the category ${category} has no field ${unknown.join(", ")}; it has ${[...assay.known].sort().join(", ")}`,
    );
  }
}
