/**
 * Variables that look like ours and aren't: mostly a name mistyped, which would otherwise be ignored without a word. Several
 * services share one environment, so this is asked once per process with the definitions of everything that may stand in it.
 */
import { secretFileVariable } from "./secret-file";
import type { Definitions, Environment, Setting } from "./settings";

/** One problem per unknown ASSAY_* variable, with the nearest known name where one is near. */
export function unknownSettings(env: Environment, groups: readonly Definitions[]): string[] {
  const known = new Set(groups.flatMap((group) => Object.values(group).flatMap(variables)));
  return Object.keys(env)
    .filter((name) => name.startsWith("ASSAY_") && !known.has(name))
    .sort()
    .map((name) => {
      const near = nearest(name, known);
      return `${name} is not a setting of Assay${near === undefined ? "" : `; did you mean ${near}?`}`;
    });
}

function variables({ variable, secret }: Setting<unknown>): string[] {
  return secret ? [variable, secretFileVariable(variable)] : [variable];
}

/** A name further away than this is no likely meaning. */
const distance_max = 4;

function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = distance_max + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance, row by row. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
