/** Where the evidence of a rule comes from. */
import type { Node } from "yaml";
import type { Entry, YamlSource } from "./yaml-source";

export interface Logsource {
  readonly category: string;
  readonly product: string | undefined;
  readonly service: string | undefined;
}

export function readLogsource(source: YamlSource, root: Node, entry: Entry | undefined): Logsource | undefined {
  if (!entry) return source.report(root, "the rule has no logsource; say at least a category, a product or a service");
  const parts = source.entries(entry.value, "logsource");
  if (!parts) return undefined;
  const part = (key: string) => {
    const found = parts.find((p) => p.key === key);
    return found && source.text(found.value, `logsource.${key}`)?.toLowerCase();
  };
  const [category, product, service] = [part("category"), part("product"), part("service")];
  if (category === undefined && product === undefined && service === undefined) {
    return source.report(entry.at, "the logsource has no category, product or service; say at least one");
  }
  return { category: category ?? "", product, service };
}
