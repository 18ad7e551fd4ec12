/** Sections that cost more than a look at their files: collected again when one of these has changed, or after an hour. */
import type { SectionName } from "@assay/schemas/inventory";
import { names, stat } from "../read/files";
import type { Collected } from "./section";

/** paths: files, and folders whose entries count each. */
export function remembered<N extends SectionName>(
  paths: readonly string[],
  collect: () => Promise<Collected<N>>,
  now: () => number,
): () => Promise<Collected<N>> {
  let last: { readonly state: string; readonly at: number; readonly found: Collected<N> } | undefined;
  return async () => {
    const at = now();
    const state = paths.flatMap((path) => [path, ...entries(path)].map(stateOf)).join("\n");
    if (last && last.state === state && at - last.at < age_ms_max) return last.found;
    const found = await collect();
    last = { state, at, found };
    return found;
  };
}

function entries(path: string): string[] {
  const found = names(path);
  return found.kind === "read" ? found.value.map((name) => `${path}/${name}`) : [];
}

function stateOf(path: string): string {
  const found = stat(path);
  if (found.kind !== "read") return `${path} ${found.kind}`;
  const { ino, size, mtimeMs, ctimeMs } = found.value;
  return `${path} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

const age_ms_max = 3_600_000;
