/** The addresses of the host's interfaces, as the agent's network namespace has them. */
import { networkInterfaces } from "node:os";
import { type Collected, collected } from "./section";

export function collectAddresses(): Collected<"addresses"> {
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, of]) =>
    (of ?? []).map(({ address, cidr }) => ({ address, interface: name, prefix: Number(cidr?.split("/")[1] ?? -1) })),
  );
  addresses.sort((a, b) => order(a.interface, b.interface) || order(a.address, b.address));
  return collected<"addresses">({ addresses });
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
