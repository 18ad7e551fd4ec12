/** Rows of the store's tables with what a test doesn't care about filled in; written as one block each. */
import type { Store } from "@assay/store/client";

type Row = Readonly<Record<string, unknown>>;

let blocks = 0;

/** All rows have the first one's columns. */
export async function insert(store: Store, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  await store.insertBlock({
    table: `assay.${table}`,
    columns,
    rows: rows.map((row) => columns.map((column) => row[column])),
    token: `test-${++blocks}`,
  });
}

export function rule(of: Row): Row {
  return {
    rule_id: "rule",
    package: "network-security",
    title: "A rule",
    description: "What it asks",
    author: "Somebody",
    severity: "medium",
    category: "process_creation",
    scope: "event",
    remediation: "What to do",
    references: ["https://example.org/rule"],
    tags: [],
    controls: { "pci-dss-4.0": ["2.2.4"] },
    platforms: ["linux"],
    ruleset: "digest",
    removed: 0,
    version: 1,
    ...of,
  };
}

export function finding(of: Row): Row {
  return {
    finding_id: "finding",
    rule_id: "rule",
    package: "network-security",
    category: "process_creation",
    severity: "medium",
    severity_rank: 2,
    title: "A finding",
    host_id: "host-1",
    host_name: "web-1",
    application_id: "",
    applications: ["shop"],
    identity: { DestinationPort: "23" },
    status: "active",
    status_reason: "",
    first_seen: 1_000,
    last_seen: 2_000,
    resolved_at: null,
    occurrences: 1,
    late: 0,
    evidence: '{"Image":"/usr/bin/telnet"}',
    ruleset: "digest",
    version: 1,
    ...of,
  };
}

export function activity(of: Row): Row {
  return {
    finding_id: "finding",
    rule_id: "rule",
    package: "network-security",
    severity: "medium",
    host_id: "host-1",
    application_id: "",
    at: 1_000,
    until: 2_000,
    first: 1_100,
    last: 1_900,
    occurrences: 1,
    late: 0,
    evidence: '{"Image":"/usr/bin/telnet"}',
    ...of,
  };
}

export function outcome(of: Row): Row {
  return {
    rule_id: "rule",
    package: "network-security",
    host_id: "host-1",
    application_id: "",
    outcome: "clear",
    reason: "",
    as_of: 1_000,
    period_start: null,
    late: 0,
    ruleset: "digest",
    ...of,
  };
}

export function coverage(of: Row): Row {
  return {
    host_id: "host-1",
    host_name: "web-1",
    agent_version: "0.1.0",
    window_start: 0,
    window_end: 10_000,
    incarnation: 1,
    seq_from: 1,
    seq_to: 1,
    closed_by: "complete",
    covered_ms: 10_000,
    clock_offset_ms: 0,
    applications: ["shop"],
    assessments: [],
    tags: { role: "web" },
    windowed: { processes: 5 },
    folded: {},
    cut: {},
    duplicates: {},
    dropped: {},
    drop_reasons: {},
    collectors: { processes: "working" },
    received_through: 12_000,
    ...of,
  };
}

export function section(of: Row): Row {
  return {
    host_id: "host-1",
    host_name: "web-1",
    section: "os",
    status: "collected",
    reason: "",
    digest: "digest",
    collected_at: 1_000,
    content: '{"id":"debian","version_id":"13","pretty_name":"Debian 13","kernel_release":"6.12","architecture":"x86_64"}',
    version: 1,
    ...of,
  };
}
