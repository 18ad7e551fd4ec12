/** How far an address reaches: the one answer for the correlator's joining and for what rules read. */
import ipaddr from "ipaddr.js";
import type { NetworkScope } from "./generated/types";

/** any: 0.0.0.0 or ::, every address of the host. */
export type AddressScope = NetworkScope | "any";

/** The default bridges of Docker and Podman: the same on every host, behind the host's own address. */
const containerBridges = ["172.17.0.0/16", "10.88.0.0/16"].map((range) => ipaddr.IPv4.parseCIDR(range));

const scopeOfRange: Readonly<Record<string, AddressScope>> = {
  unspecified: "any",
  loopback: "loopback",
  linkLocal: "link_local",
  multicast: "link_local",
  broadcast: "link_local",
  private: "private",
  uniqueLocal: "private",
  carrierGradeNat: "private",
};

/** Undefined for what isn't an address. IPv4 in IPv6 counts as IPv4; a zone (%eth0) is left out. */
export function addressScope(address: string): AddressScope | undefined {
  const known = remembered.get(address);
  if (known !== undefined) return known;
  const scope = scopeOf(address);
  if (scope === undefined) return undefined;
  if (remembered.size >= remembered_max) remembered.clear();
  remembered.set(address, scope);
  return scope;
}

/** A fleet repeats its addresses; to parse one takes microseconds. Forgotten all at once past the limit. */
const remembered = new Map<string, AddressScope>();
const remembered_max = 20_000;

function scopeOf(address: string): AddressScope | undefined {
  const plain = address.split("%")[0] ?? "";
  if (!ipaddr.isValid(plain)) return undefined;
  const parsed = ipaddr.process(plain);
  if (parsed instanceof ipaddr.IPv4 && containerBridges.some((bridge) => parsed.match(bridge))) return "container";
  return scopeOfRange[parsed.range()] ?? "public";
}
