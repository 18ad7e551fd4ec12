/** /var/lib/dpkg/status: the packages that are installed, with the source package that each was built from. */
import type { PackagesSection } from "@assay/schemas/inventory";

export type DpkgPackage = PackagesSection["packages"][number];

/** Yields after each stanza, so that the caller can let others have a turn; undefined for one that isn't installed. */
export function* parseDpkgStatus(text: string): IterableIterator<DpkgPackage | undefined> {
  let start = 0;
  while (start < text.length) {
    let end = text.indexOf("\n\n", start);
    if (end < 0) end = text.length;
    yield parseStanza(text.slice(start, end));
    start = end + 1;
    while (text[start] === "\n") start++;
  }
}

function parseStanza(stanza: string): DpkgPackage | undefined {
  const field = (name: string) => new RegExp(`^${name}: *(.*)$`, "m").exec(stanza)?.[1]?.trim() ?? "";
  // want, flag, status: "install ok installed", "hold ok installed"
  if (!field("Status").endsWith(" installed")) return undefined;
  const name = field("Package");
  const version = field("Version");
  if (name === "" || version === "") return undefined;
  const source = /^(\S+)(?: \((\S+)\))?$/.exec(field("Source"));
  return {
    name,
    version,
    architecture: field("Architecture"),
    source: source?.[1] ?? name,
    source_version: source?.[2] ?? version,
  };
}
