/** A section's content as the records that carry it: one, or several where it is large. */
import { createHash } from "node:crypto";
import type { InventorySection } from "@assay/schemas/generated/types";

export type Heading = Omit<InventorySection, "chunk" | "chunks" | "content" | "digest">;

export function digestOf(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

export function chunksOf(
  heading: Heading,
  content: Buffer,
  digest: string,
  chunk_bytes_max = default_chunk_bytes_max,
): InventorySection[] {
  const chunks = Math.max(1, Math.ceil(content.length / chunk_bytes_max));
  return Array.from({ length: chunks }, (_, chunk) => ({
    ...heading,
    digest,
    chunk,
    chunks,
    content: content.subarray(chunk * chunk_bytes_max, (chunk + 1) * chunk_bytes_max),
  }));
}

const default_chunk_bytes_max = 512 * 1024;
