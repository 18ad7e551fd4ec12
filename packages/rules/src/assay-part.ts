/**
 * A rule's `assay` map: what Assay needs beyond Sigma. A rule that has one is a rule of Assay's own kind, and is held to more than a plain
 * Sigma rule: an id, a description, a remediation, references, known fields, and cases.
 *
 *   assay:
 *     scope: state                       event, state or assessment
 *     identity: [Path]                   what tells one finding from another on a host; may be empty
 *     platforms: [linux]
 *     remediation: what to do, with commands
 *     controls: { pci-dss-4.0: [2.2.6] }
 *     cases:
 *       - name: …
 *         expect: match                  match, clear, not_applicable or insufficient_evidence
 *         event: { Path: /usr/bin }      one item of the rule's category, or
 *         section: { name: sshd, status: absent, reason: …, content: {…} }
 */
import type { Node } from "yaml";
import { type Category, categories, categoryNamed, sectionOf } from "./categories";
import { fieldsOf } from "./fields";
import type { Logsource } from "./logsource";
import type { FieldValue, Scope } from "./rule";
import type { RuleCase } from "./rule-case";
import type { Entry, YamlSource } from "./yaml-source";

export interface AssayPart {
  readonly scope: Scope;
  readonly identity: readonly string[];
  readonly remediation: string;
  readonly controls: Readonly<Record<string, readonly string[]>>;
  readonly platforms: readonly string[];
  readonly cases: readonly RuleCase[];
  /** The category's fields; undefined where any name may occur. */
  readonly known: ReadonlySet<string> | undefined;
}

const keys = ["scope", "identity", "remediation", "controls", "platforms", "cases"];
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Undefined where problems were reported. */
export function readAssayPart(
  source: YamlSource,
  root: Node,
  rule: ReadonlyMap<string, Entry>,
  entry: Entry,
  logsource: Logsource,
): AssayPart | undefined {
  const category = readCategory(source, rule.get("logsource")?.at ?? root, logsource);
  checkRule(source, root, rule);
  const parts = new Map((source.entries(entry.value, "assay") ?? []).map((part) => [part.key, part]));
  for (const { key, at } of parts.values()) {
    if (!keys.includes(key)) source.report(at, `assay has no '${key}'; it has ${keys.join(", ")}`);
  }
  for (const key of keys) {
    if (!parts.has(key)) source.report(entry.at, `assay lacks '${key}'`);
  }
  if (!category || keys.some((key) => !parts.has(key))) return undefined;
  const value = (key: string) => parts.get(key)?.value ?? null;
  const known = fieldsOf(category.name);
  const scope = readScope(source, value("scope"), category);
  const identity = readIdentity(source, value("identity"), category, known);
  const remediation = source.text(value("remediation"), "assay.remediation");
  const controls = readControls(source, value("controls"));
  const platforms = source.texts(value("platforms"), "assay.platforms");
  const cases = readCases(source, value("cases"), known);
  if (!scope || !identity || remediation === undefined || !controls || !platforms || !cases) return undefined;
  return { scope, identity, remediation, controls, platforms, cases, known };
}

function checkRule(source: YamlSource, root: Node, rule: ReadonlyMap<string, Entry>): void {
  for (const key of ["id", "description", "author", "level", "references"]) {
    if (!rule.has(key)) source.report(root, `the rule lacks '${key}'`);
  }
  const id = rule.get("id");
  const text = id && source.text(id.value, "id");
  if (text !== undefined && !uuid.test(text))
    source.report(id?.value, "id must be a UUID in lower case, made once and never changed");
  const references = rule.get("references");
  if (references && source.texts(references.value, "references")?.length === 0) {
    source.report(references.value, "references is empty; name at least one page that says why");
  }
}

function readCategory(source: YamlSource, at: Node, { category, product, service }: Logsource): Category | undefined {
  const known = categoryNamed(category);
  if (!known) {
    return source.report(at, `the category '${category}' is not one of ${categories.map((c) => c.name).join(", ")}`);
  }
  if (known.services.length > 0 && sectionOf(category, service) === undefined) {
    return source.report(at, `the category ${category} needs a service: ${known.services.join(", ")}`);
  }
  if (product === undefined) return source.report(at, "the logsource lacks the product, such as linux");
  return known;
}

function readScope(source: YamlSource, node: Node | null, category: Category): Scope | undefined {
  const text = source.text(node, "assay.scope");
  const scope = category.scopes.find((s) => s === text);
  if (text !== undefined && !scope) {
    source.report(node, `the scope of a rule over ${category.name} must be ${category.scopes.join(" or ")}, not '${text}'`);
  }
  return scope;
}

function readIdentity(
  source: YamlSource,
  node: Node | null,
  category: Category,
  known: ReadonlySet<string> | undefined,
): string[] | undefined {
  const fields = source.texts(node, "assay.identity");
  const unknown = known && fields?.find((field) => !known.has(field));
  if (unknown !== undefined) return source.report(node, `the category ${category.name} has no field ${unknown} to identify by`);
  if (fields?.some((field) => unfit.has(field))) {
    return source.report(node, `process ids and command lines differ from run to run, so they can't be identity`);
  }
  return fields;
}
const unfit: ReadonlySet<string> = new Set(["ProcessId", "CommandLine", "ParentCommandLine", "Ancestors"]);

function readControls(source: YamlSource, node: Node | null): Record<string, string[]> | undefined {
  const entries = source.entries(node, "assay.controls");
  if (!entries) return undefined;
  return Object.fromEntries(entries.map(({ key, value }) => [key, source.texts(value, `assay.controls.${key}`) ?? []]));
}

function readCases(source: YamlSource, node: Node | null, known: ReadonlySet<string> | undefined): RuleCase[] | undefined {
  const cases = source.items(node, "assay.cases")?.flatMap((item) => readCase(source, item, known) ?? []);
  for (const expect of ["match", "clear"]) {
    if (cases && !cases.some((c) => c.expect === expect)) source.report(node, `no case expects '${expect}'; add one`);
  }
  return cases;
}

const expectations = ["match", "clear", "not_applicable", "insufficient_evidence"] as const;
const statuses = ["collected", "partial", "absent", "unreadable"] as const;

function readCase(source: YamlSource, node: Node, known: ReadonlySet<string> | undefined): RuleCase | undefined {
  const parts = new Map((source.entries(node, "a case") ?? []).map((part) => [part.key, part.value]));
  const name = source.text(parts.get("name") ?? null, "a case's name");
  const text = source.text(parts.get("expect") ?? null, "a case's expect");
  const expect = expectations.find((e) => e === text);
  if (!expect) return source.report(node, `a case expects one of ${expectations.join(", ")}`);
  const evidence = readEvidence(source, node, parts, known);
  if (name === undefined || !evidence) return undefined;
  return { name, expect, evidence, line: source.lineOf(node) };
}

function readEvidence(
  source: YamlSource,
  node: Node,
  parts: ReadonlyMap<string, Node | null>,
  known: ReadonlySet<string> | undefined,
): RuleCase["evidence"] | undefined {
  const [event, section] = [parts.get("event"), parts.get("section")];
  if ((event === undefined) === (section === undefined)) return source.report(node, "a case has either an event or a section");
  if (event) {
    const entries = source.entries(event, "a case's event");
    const unknown = entries?.find(({ key }) => known && !known.has(key));
    if (unknown) return source.report(unknown.at, `the case's event has a field that its category lacks: ${unknown.key}`);
    return { kind: "event", fields: plain(event) as Readonly<Record<string, FieldValue>> };
  }
  const given = new Map((source.entries(section ?? null, "a case's section") ?? []).map((part) => [part.key, part.value]));
  const name = source.text(given.get("name") ?? null, "the section's name");
  const status = statuses.find((s) => s === plain(given.get("status") ?? null));
  if (name === undefined || !status) return source.report(section, `a section's status is one of ${statuses.join(", ")}`);
  return {
    kind: "section",
    name,
    status,
    reason: String(plain(given.get("reason") ?? null) ?? ""),
    content: plain(given.get("content") ?? null),
  };
}

function plain(node: Node | null): unknown {
  return node === null ? null : (node as Node & { toJSON(): unknown }).toJSON();
}
