/** How far an address reaches. Loopback, link-local and container-bridge addresses mean another thing on each host. */
import type { NetworkScope } from "@assay/schemas/generated/types";
import ipaddr from "ipaddr.js";

/** Docker's and Podman's default bridges: the same on every host, behind the host's own address. */
const containerBridges = ["172.17.0.0/16", "10.88.0.0/16"].map((range) => ipaddr.parseCIDR(range));

const scopes: Readonly<Record<string, NetworkScope>> = {
  unspecified: "loopback",
  loopback: "loopback",
  linkLocal: "link_local",
  multicast: "link_local",
  broadcast: "link_local",
  private: "private",
  uniqueLocal: "private",
  carrierGradeNat: "private",
};

export function networkScope(address: string): NetworkScope {
  const plain = address.split("%")[0] ?? "";
  if (!ipaddr.isValid(plain)) return "private";
  const parsed = ipaddr.process(plain);
  if (parsed.kind() === "ipv4" && containerBridges.some(([net, bits]) => net.kind() === "ipv4" && parsed.match(net, bits)))
    return "container";
  return scopes[parsed.range()] ?? "public";
}

/** Whether the same address may stand for two different machines on two hosts. */
export function isHostLocal(scope: NetworkScope): boolean {
  return scope === "loopback" || scope === "link_local" || scope === "container";
}
