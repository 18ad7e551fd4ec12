/**
 * Inventory sections out of their chunks. A section of one chunk passes straight through; the chunks of a larger one are kept until
 * they are complete, within limits. What is too large, unfinished for too long, or differs from its digest is a dead letter.
 */
import { createHash } from "node:crypto";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import type { InventorySection } from "@assay/schemas/generated/types";

/** As it stands in a checkpoint. */
export interface Assembly {
  digest: string;
  incarnation: number;
  collected_at: number;
  /** Base64 by chunk; null where it has not come. */
  chunks: (string | null)[];
  bytes: number;
  /** Record timestamp and offset of its first chunk to come. */
  begun_at: number;
  offset: number;
}
/** By section. */
export type Assemblies = Record<string, Assembly>;

export type Assembled =
  | { readonly kind: "complete"; readonly content: Buffer }
  | { readonly kind: "waiting" }
  | { readonly kind: "refused"; readonly reason: DeadLetterReason; readonly detail: string };

export const chunks_max = 64;
export const section_bytes_max = 16 * 1024 * 1024;
/** Of all sections of a partition that wait for chunks. */
export const assembling_bytes_max = 64 * 1024 * 1024;
export const assembling_wait_ms_max = 3_600_000;

/** assembling_bytes: what all assemblies of the partition hold. */
export function assemble(
  assemblies: Assemblies,
  section: InventorySection,
  record: { readonly timestamp: number; readonly offset: number },
  assembling_bytes: number,
): Assembled {
  const { chunk, chunks } = section;
  if (chunks < 1 || chunk < 0 || chunk >= chunks) return refused("out_of_bounds", `chunk ${chunk} of ${chunks}`);
  if (chunks > chunks_max) return refused("out_of_bounds", `${chunks} chunks are above the limit of ${chunks_max}`);
  if (chunks === 1) {
    delete assemblies[section.section];
    return verified(section, section.content);
  }
  const assembly = assemblyOf(assemblies, section, record);
  if (!assembly) return { kind: "waiting" }; // of an older section than the one that is being assembled
  if (assembly.chunks[chunk] === null) {
    const bytes = section.content.length;
    if (assembly.bytes + bytes > section_bytes_max || assembling_bytes + bytes > assembling_bytes_max) {
      delete assemblies[section.section];
      return refused(
        "out_of_bounds",
        `${assembly.bytes + bytes} bytes of a section, ${assembling_bytes + bytes} of all that wait for chunks: ` +
          `above the limit of ${section_bytes_max}, or of ${assembling_bytes_max}`,
      );
    }
    assembly.chunks[chunk] = section.content.toString("base64");
    assembly.bytes += bytes;
  }
  if (assembly.chunks.includes(null)) return { kind: "waiting" };
  delete assemblies[section.section];
  return verified(section, Buffer.concat(assembly.chunks.map((text) => Buffer.from(text ?? "", "base64"))));
}

/** Takes out those that have waited too long at this record's timestamp. */
export function takeUnfinished(assemblies: Assemblies, timestamp: number): { section: string; assembly: Assembly }[] {
  const unfinished = Object.entries(assemblies).filter(([, a]) => timestamp - a.begun_at > assembling_wait_ms_max);
  for (const [section] of unfinished) delete assemblies[section];
  return unfinished.map(([section, assembly]) => ({ section, assembly }));
}

export function bytesOf(assemblies: Assemblies): number {
  let bytes = 0;
  for (const assembly of Object.values(assemblies)) bytes += assembly.bytes;
  return bytes;
}

function assemblyOf(
  assemblies: Assemblies,
  section: InventorySection,
  record: { readonly timestamp: number; readonly offset: number },
): Assembly | undefined {
  const { digest, incarnation, collected_at, chunks } = section;
  const known = assemblies[section.section];
  const same = known?.digest === digest && known.incarnation === incarnation && known.collected_at === collected_at;
  if (known && same && known.chunks.length === chunks) return known;
  const older = known && (incarnation - known.incarnation || collected_at - known.collected_at) < 0;
  if (older) return undefined;
  const made: Assembly = {
    digest,
    incarnation,
    collected_at,
    chunks: new Array<string | null>(chunks).fill(null),
    bytes: 0,
    begun_at: record.timestamp,
    offset: record.offset,
  };
  assemblies[section.section] = made;
  return made;
}

function verified(section: InventorySection, content: Buffer): Assembled {
  if (content.length > section_bytes_max) {
    return refused("out_of_bounds", `${content.length} bytes of a section are above the limit of ${section_bytes_max}`);
  }
  const digest = createHash("sha256").update(content).digest("hex");
  if (digest === section.digest) return { kind: "complete", content };
  return refused("invalid_body", `the content's SHA-256 is ${digest}, the section says ${section.digest}`);
}

function refused(reason: DeadLetterReason, detail: string): Assembled {
  return { kind: "refused", reason, detail };
}
