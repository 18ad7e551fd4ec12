/**
 * Joins what both ends of a connection told into flows. Ends meet on (source address, destination address, destination port,
 * protocol); where an address is only good on its own host, on the host too.
 *
 * Where several processes of one host share those four, only their sum can be compared with the other end: each keeps its own
 * count, and connections that only the other end saw become a flow whose source process isn't known.
 */
import type { ApplicationHost, Endpoint, Flow, HostFlow, HostListener } from "@assay/schemas/generated/types";
import { isHostLocal, networkScope } from "./network-scope";

export interface Topology {
  readonly hosts: ReadonlyMap<string, ApplicationHost>;
  readonly flows: readonly HostFlow[];
  readonly listeners: readonly HostListener[];
  /** Whose address it is; only addresses that mean one host. */
  readonly hostOfAddress: ReadonlyMap<string, string>;
}

interface Ends {
  readonly sources: HostFlow[];
  readonly destinations: HostFlow[];
}

export function joinFlows(topology: Topology): Flow[] {
  const joined = new Map<string, Ends>();
  for (const flow of topology.flows) {
    const local = isHostLocal(networkScope(flow.source_address)) || isHostLocal(networkScope(flow.destination_address));
    const key = `${local ? flow.host_id : ""} ${flow.protocol} ${flow.source_address} ${flow.destination_address} ${flow.destination_port}`;
    let ends = joined.get(key);
    if (!ends) {
      ends = { sources: [], destinations: [] };
      joined.set(key, ends);
    }
    ends[flow.side === "source" ? "sources" : "destinations"].push(flow);
  }
  const listeners = listenersByPort(topology.listeners);
  return [...joined.values()].flatMap((ends) => flowsOf(ends, topology, listeners));
}

function flowsOf(ends: Ends, topology: Topology, listeners: ReadonlyMap<string, HostListener[]>): Flow[] {
  const [anySource] = ends.sources;
  const [anyDestination] = ends.destinations;
  const sample = anySource ?? anyDestination;
  if (!sample) return [];
  const endpoint = (told: HostFlow | undefined, address: string): Endpoint => {
    const scope = networkScope(address);
    const host_id = told?.host_id ?? (isHostLocal(scope) ? sample.host_id : (topology.hostOfAddress.get(address) ?? ""));
    const host = topology.hosts.get(host_id);
    return {
      host_id,
      host_name: host?.host_name ?? "",
      tier: host?.tiers[0] ?? "",
      address,
      scope,
      pid: told?.pid ?? 0,
      image: told?.image ?? "",
      command_line: told?.command_line ?? "",
      user: told?.user ?? "",
      ancestors: told?.ancestors ?? [],
    };
  };
  const destination = endpoint(anyDestination, sample.destination_address);
  const listener = listeners
    .get(`${destination.host_id} ${sample.protocol} ${sample.destination_port}`)
    ?.find((l) => l.address === "0.0.0.0" || l.address === "::" || l.address === sample.destination_address);
  const shared = {
    destination,
    protocol: sample.protocol,
    destination_port: sample.destination_port,
    application_protocol: listener?.application_protocol ?? "",
    channel: listener?.channel ?? "unknown",
    tls_version: listener?.tls_version ?? "",
  } as const;
  const count_destinations = sum(ends.destinations, (f) => f.count);
  const count_sources = sum(ends.sources, (f) => f.count);
  const flows = ends.sources.map((told): Flow => {
    const count_destination = ends.sources.length === 1 ? count_destinations : 0;
    const seenHere = ends.sources.length === 1 ? [told, ...ends.destinations] : [told];
    return {
      ...shared,
      source: endpoint(told, told.source_address),
      count_source: told.count,
      count_destination,
      count: Math.max(told.count, count_destination),
      ...firstAndLast(seenHere),
    };
  });
  const unseenAtSource = count_destinations - count_sources;
  if (ends.sources.length !== 1 && unseenAtSource > 0) {
    flows.push({
      ...shared,
      source: endpoint(undefined, sample.source_address),
      count_source: 0,
      count_destination: unseenAtSource,
      count: unseenAtSource,
      ...firstAndLast(ends.destinations),
    });
  }
  return flows;
}

function listenersByPort(listeners: readonly HostListener[]): Map<string, HostListener[]> {
  const byPort = new Map<string, HostListener[]>();
  for (const l of listeners) {
    const key = `${l.host_id} ${l.protocol} ${l.port}`;
    byPort.set(key, [...(byPort.get(key) ?? []), l]);
  }
  return byPort;
}

function firstAndLast(flows: readonly HostFlow[]): { first: number; last: number } {
  let first = Number.MAX_SAFE_INTEGER;
  let last = 0;
  for (const f of flows) {
    first = Math.min(first, f.first);
    last = Math.max(last, f.last);
  }
  return { first, last };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
