/** The scope of a flow's end. Loopback, link-local and container-bridge addresses mean another thing on each host. */
import { addressScope } from "@assay/schemas/address-scope";
import type { NetworkScope } from "@assay/schemas/generated/types";

/** An end without an address of its own is the host itself; text that isn't an address is taken for a neighbour's. */
export function networkScope(address: string): NetworkScope {
  const scope = addressScope(address);
  if (scope === "any") return "loopback";
  return scope ?? "private";
}

/** Whether the same address may stand for two different machines on two hosts. */
export function isHostLocal(scope: NetworkScope): boolean {
  return scope === "loopback" || scope === "link_local" || scope === "container";
}
