/** One rule file as YAML nodes that know where they stand, and the problems found in it. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLMap,
} from "yaml";
import type { Scalar } from "./compile/modifiers";
import type { Problem } from "./problem";

export interface Entry {
  readonly key: string;
  /** Where the key stands. */
  readonly at: Node;
  readonly value: Node | null;
}

export const rule_file_chars_max = 1_048_576;
/** Problems of one file that are told; what comes past that is mostly their echo. */
export const file_problems_max = 100;

export class YamlSource {
  private readonly lines = new LineCounter();
  readonly problems: Problem[] = [];
  /** Undefined where the file can't be read as one map. */
  readonly root: YAMLMap | undefined;

  constructor(
    readonly file: string,
    text: string,
  ) {
    this.root = this.parse(text);
  }

  report(at: Node | null | undefined, message: string): undefined {
    this.reportAt(at?.range?.[0] ?? 0, message);
  }

  /** From 1. */
  lineOf(at: Node | null): number {
    return this.lines.linePos(at?.range?.[0] ?? 0).line || 1;
  }

  /** The entries of a map; undefined, and a problem, where it isn't one. */
  entries(node: Node | null, what: string): Entry[] | undefined {
    if (!isMap(node)) return this.report(node, `${what} must be a map of names to values`);
    return node.items.flatMap((pair) => {
      const key = pair.key;
      if (!isScalar(key)) {
        this.report(key as Node | null, `a key of ${what} must be a plain word`);
        return [];
      }
      return [{ key: key.value === null ? "" : String(key.value), at: key, value: pair.value as Node | null }];
    });
  }

  items(node: Node | null, what: string): Node[] | undefined {
    return isSeq(node) ? (node.items as Node[]) : this.report(node, `${what} must be a list`);
  }

  text(node: Node | null, what: string): string | undefined {
    const value = isScalar(node) ? scalarOf(node) : undefined;
    if (typeof value === "string" && value.trim() !== "") return value.trim();
    if (typeof value === "object" && value !== null) return value.written;
    return this.report(node, `${what} must be a text`);
  }

  texts(node: Node | null, what: string): string[] | undefined {
    return this.items(node, what)?.flatMap((item) => this.text(item, `each of ${what}`) ?? []);
  }

  private parse(text: string): YAMLMap | undefined {
    if (text.length > rule_file_chars_max) {
      return this.report(null, `the file has ${text.length} characters, the limit is ${rule_file_chars_max}; split it`);
    }
    const options = {
      lineCounter: this.lines,
      prettyErrors: false,
      version: "1.2",
      uniqueKeys: true,
      stringKeys: false,
    } as const;
    const parsed = parseAllDocuments(text, options);
    const documents: Document[] = Array.isArray(parsed) ? parsed : [];
    for (const document of documents) {
      for (const error of document.errors) this.reportAt(error.pos[0], `not valid YAML: ${error.message}`);
      visit(document, { Alias: (_, alias) => this.report(alias, "YAML aliases (*name) are not supported; write the value out") });
    }
    if (this.problems.length > 0) return undefined;
    const [first, second] = documents;
    if (second?.contents) {
      return this.report(
        second.contents as Node,
        "rule collections (several documents in a file) are not supported; put each rule in a file of its own",
      );
    }
    const root = first?.contents ?? null;
    return isMap(root)
      ? (root as YAMLMap)
      : this.report(root as Node | null, "the file must hold one rule: a map with title, logsource and detection");
  }

  private reportAt(offset: number, message: string): undefined {
    if (this.problems.length >= file_problems_max) return undefined;
    const { line, col } = this.lines.linePos(offset);
    this.problems.push({ file: this.file, line: line || 1, column: col || 1, message });
  }
}

/** Undefined for what Sigma has no values of, such as a map. */
export function scalarOf(node: Node | null): Scalar | undefined {
  if (node === null) return null;
  if (isAlias(node) || !isScalar(node)) return undefined;
  const { value } = node;
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return { number: value, written: node.source ?? String(value) };
  return undefined;
}
