/**
 * The categories of evidence: each declared here once, with what feeds it. process_creation and network_connection are Sigma's; the
 * others are ours, for what Sigma lacks.
 */

import type { SectionName } from "@assay/schemas/inventory";
import type { TelemetryKind } from "@assay/schemas/kinds";
import type { Scope } from "./rule";

export interface Category {
  readonly name: string;
  readonly description: string;
  readonly source:
    | { readonly kind: "telemetry"; readonly of: TelemetryKind }
    | { readonly kind: "application_window" }
    | { readonly kind: "inventory"; readonly sections: readonly SectionName[] };
  /** What a finding is about. */
  readonly resource: "host" | "application";
  readonly scopes: readonly Scope[];
  /** Of a rule that declares none, such as plain Sigma. */
  readonly identity: readonly string[];
  /** What each service of the category stands for; empty where it has none. */
  readonly services: readonly string[];
}

function category(c: Omit<Category, "resource" | "services"> & Partial<Category>): Category {
  return { resource: "host", services: [], ...c };
}

const settingSections = ["sshd", "login-defs", "password-quality", "kernel"] as const satisfies readonly SectionName[];

export const categories: readonly Category[] = [
  category({
    name: "process_creation",
    description: "A process that started, or was found running when the agent started.",
    source: { kind: "telemetry", of: "processes" },
    scopes: ["event"],
    identity: ["Image"],
  }),
  category({
    name: "network_connection",
    description: "A connection seen on one host, folded over the ephemeral port.",
    source: { kind: "telemetry", of: "connections" },
    scopes: ["event"],
    identity: ["Image", "DestinationIp", "DestinationPort"],
  }),
  category({
    name: "listener",
    description: "A socket that accepts connections or datagrams, told again in every window while it is open.",
    source: { kind: "telemetry", of: "listeners" },
    scopes: ["event", "state", "assessment"],
    identity: ["Protocol", "Port"],
  }),
  category({
    name: "flow",
    description: "A connection between two ends of an application's topology, or with the outside; joined from both ends.",
    source: { kind: "application_window" },
    resource: "application",
    scopes: ["event"],
    identity: ["SourceHost", "DestinationHost", "DestinationIp", "DestinationPort", "Protocol"],
  }),
  category({
    name: "setting",
    description:
      "The settings of one program or of the kernel, in effect on a host: one item with all of them. The service says whose.",
    source: { kind: "inventory", sections: settingSections },
    scopes: ["state"],
    identity: [],
    services: settingSections,
  }),
  category({
    name: "executable",
    description: "An executable file that a process on the host runs.",
    source: { kind: "inventory", sections: ["executables"] },
    scopes: ["state"],
    identity: ["Image"],
  }),
  category({
    name: "package",
    description: "An installed package.",
    source: { kind: "inventory", sections: ["packages"] },
    scopes: ["state"],
    identity: ["Name"],
  }),
  category({
    name: "directory",
    description: "A directory of the system and who may write it.",
    source: { kind: "inventory", sections: ["directories"] },
    scopes: ["state"],
    identity: ["Path"],
  }),
  category({
    name: "user",
    description: "An account of the host.",
    source: { kind: "inventory", sections: ["users"] },
    scopes: ["state"],
    identity: ["User"],
  }),
];

const byName = new Map(categories.map((c) => [c.name, c]));

export function categoryNamed(name: string): Category | undefined {
  return byName.get(name);
}

/** The section that decides a rule of this category and service; undefined where telemetry does. */
export function sectionOf(name: string, service: string | undefined): SectionName | undefined {
  const source = byName.get(name)?.source;
  if (source?.kind !== "inventory") return undefined;
  return source.sections.length === 1 ? source.sections[0] : source.sections.find((section) => section === service);
}
