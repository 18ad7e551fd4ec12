/** What collecting one section comes to. Content is always there, empty where the thing is absent or unreadable. */
import type { SectionStatus } from "@assay/schemas/generated/types";
import type { InventoryContents, SectionName } from "@assay/schemas/inventory";

export interface Collected<N extends SectionName> {
  readonly status: SectionStatus;
  /** Empty when collected. */
  readonly reason: string;
  readonly content: InventoryContents[N];
}

export interface Place {
  /** Before every path: empty for this host, a folder in tests. */
  readonly root: string;
}

export function collected<N extends SectionName>(content: InventoryContents[N]): Collected<N> {
  return { status: "collected", reason: "", content };
}
