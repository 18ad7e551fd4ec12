/** What the schema can't say of a chunk of an inventory section. */
import { createHash } from "node:crypto";
import type { InventorySection } from "@assay/schemas/generated/types";
import { sectionNames } from "@assay/schemas/inventory";
import { invalid, outOfBounds, type Problem, quoted } from "./problem";
import { chunk_bytes_max, chunks_max } from "./settings";

/** Undefined where all is well. Whether several chunks together have their digest is for the reader of the last one to see. */
export function inventoryProblem(section: InventorySection): Problem | undefined {
  for (const name of ["incarnation", "collected_at", "sent_at"] as const) {
    if (section[name] < 1) return invalid(`${name} is ${section[name]}, not positive`);
  }
  const names: readonly string[] = sectionNames;
  if (!names.includes(section.section)) return invalid(`section ${quoted(section.section)} is none of ${names.join(", ")}`);
  if (!/^[0-9a-f]{64}$/.test(section.digest))
    return invalid(`digest ${quoted(section.digest)} is not a SHA-256 in lower-case hex`);
  const { chunk, chunks } = section;
  if (chunk < 0 || chunk >= chunks)
    return invalid(`chunk ${chunk} of ${chunks}: chunks count from 0 and stay below their number`);
  if (chunks > chunks_max) return outOfBounds(`${chunks} chunks are above the limit of ${chunks_max} (chunks_max)`);
  if (section.content.length > chunk_bytes_max) {
    return outOfBounds(`chunk of ${section.content.length} bytes is above the limit of ${chunk_bytes_max} (chunk_bytes_max)`);
  }
  if (chunks === 1 && createHash("sha256").update(section.content).digest("hex") !== section.digest) {
    return invalid("the content doesn't have the digest that the section claims");
  }
  return undefined;
}
