import type { AssessReport } from "@assay/cli/report/assessment-report";
import { evidenceLines } from "@assay/cli/report/evidence";
import { reportTable } from "@assay/cli/report/table";
import { golden } from "./golden";

const rule = (id: string, title: string, description: string, remediation: string) => ({
  id,
  package: "authentication",
  title,
  description,
  remediation,
  references: [],
  controls: {},
  author: "Assay",
});

const finding = {
  id: "f",
  category: "setting",
  host_id: "0b5f3c9e",
  host_name: "web-1",
  application_id: "",
  applications: ["this-host"],
  status: "active" as const,
  status_reason: "",
  first_seen: "2026-05-20T08:00:03.120Z",
  last_seen: "2026-05-20T08:00:50.000Z",
  resolved_at: null,
  occurrences: 1,
  late: false,
  in_period: null,
};

const outcome = {
  package: "authentication",
  title: "",
  severity: "medium" as const,
  scope: "state" as const,
  host_id: "0b5f3c9e",
  host_name: "web-1",
  application_id: "",
  as_of: "2026-05-20T08:01:00.000Z",
  late: false,
};

const report: AssessReport = {
  generated_at: "2026-05-20T08:01:10.000Z",
  host: {
    id: "0b5f3c9e",
    name: "web-1",
    os: { id: "debian", pretty_name: "Debian GNU/Linux 13 (trixie)" },
    agent_version: "0.1.0",
  },
  application: null,
  assessment: {
    id: "assess-20260520-075930",
    version: 5,
    template_id: "t",
    application_id: "this-host",
    packages: [],
    state: "completed",
    begins_at: "2026-05-20T08:00:00.000Z",
    ends_at: "2026-05-20T08:01:00.000Z",
    history: [],
  },
  findings: [
    {
      ...finding,
      rule_id: "shell-started-by-network-service",
      package: "threat-detection",
      severity: "high",
      title: "Shell started by a network service",
      identity: { ParentImage: "/usr/bin/python3.11" },
      in_period: { occurrences: 3, first: "2026-05-20T08:00:03.120Z", last: "2026-05-20T08:00:50.000Z" },
      evidence: {
        kind: "process",
        pid: 4242,
        image: "/usr/bin/dash",
        command_line: "sh -c id\u001b[31m",
        user: "www-data",
        parent_command_line: "python3 server.py",
        parent_user: "www-data",
      },
      rule: rule(
        "shell-started-by-network-service",
        "Shell started by a network service",
        "A process that listens on the network has started a shell. Attackers who find a way to run commands in a service do just that, and few services have a reason to.",
        "Look at the command line and the parent process. Where the service has no need of a shell, treat the host as compromised; where it has, suppress the finding for it.",
      ),
    },
    ...["22", "2222"].map((port) => ({
      ...finding,
      rule_id: "unused-listener",
      package: "network-security",
      severity: "informational" as const,
      title: "Unused listening TCP port",
      identity: { Port: port },
      evidence: {
        kind: "listener",
        protocol: "tcp",
        address: "::",
        port: Number(port),
        pid: 1,
        image: "/usr/sbin/sshd",
        command_line: "sshd: /usr/sbin/sshd -D",
        user: "root",
        application_protocol: "ssh",
      },
      rule: rule(
        "unused-listener",
        "Unused listening TCP port",
        "Nothing connected to the port.",
        "Stop the service:\n    systemctl disable --now sshd\nOr bind it\nto loopback.\n",
      ),
    })),
  ],
  outcomes: [
    { ...outcome, rule_id: "shell-started-by-network-service", outcome: "match", reason: "" },
    { ...outcome, rule_id: "unused-listener", outcome: "match", reason: "" },
    { ...outcome, rule_id: "aslr", outcome: "clear", reason: "" },
    { ...outcome, rule_id: "ssh-root-login", outcome: "not_applicable", reason: "there is no sshd on the host" },
    { ...outcome, rule_id: "ssh-password", outcome: "not_applicable", reason: "there is no sshd on the host" },
    {
      ...outcome,
      rule_id: "secret-in-command-line",
      outcome: "insufficient_evidence",
      reason: "processes: the agent could not read CommandLine: permission denied",
    },
  ],
  coverage: {
    begins_at: "2026-05-20T08:00:00.000Z",
    through: "2026-05-20T08:01:00.000Z",
    hosts: 1,
    hosts_observed: 1,
    windows: 6,
    covered_share: 0.9999,
    late_parts: 0,
    events: { processes: 120, connections: 1_234_567, listeners: 42 },
    dropped: { processes: 0 },
    collectors: [
      { name: "processes", status: "partial", reason: "13 processes of other users could not be read" },
      { name: "listeners", status: "ok", reason: "" },
    ],
    inventory: [
      {
        section: "users",
        status: "partial",
        reason: "/etc/shadow is not readable",
        collected_at: "2026-05-20T08:00:01.000Z",
        age_ms: 1,
      },
      { section: "sshd", status: "absent", reason: "", collected_at: "2026-05-20T08:00:01.000Z", age_ms: 1 },
    ],
    exclusions: [],
  },
};

const rule_fields = new Map([["aslr", ["kernel.randomize_va_space"]]]);

test("a report says what, why and how to mend, then what was checked and seen", () => {
  golden("report.txt", reportTable(report, { width: 100, as_root: false, rule_fields }));
});

test("a report without findings says so, and what was checked", () => {
  const clear = { ...report, findings: [], outcomes: report.outcomes.filter((o) => o.outcome === "clear") };
  golden("report-clear.txt", reportTable(clear, { width: 80, as_root: true, rule_fields }));
});

test("evidence of any form becomes a few short lines", () => {
  expect(
    evidenceLines({
      kind: "connection",
      protocol: "tcp",
      source_address: "::1",
      destination_address: "::1",
      destination_port: 23,
    }),
  ).toEqual(["tcp ::1 → [::1]:23"]);
  expect(evidenceLines({ kind: "setting", section: "sshd", PermitRootLogin: "yes" })).toEqual([
    "section: sshd",
    "PermitRootLogin: yes",
  ]);
  expect(evidenceLines({ kind: "setting", section: "kernel", a: "1", b: "0" }, ["b", "c"])).toEqual(["b: 0"]);
  const source = {
    host_name: "web-1",
    address: "10.0.0.1",
    command_line: "telnet db",
    user: "app",
    pid: 7,
    image: "/usr/bin/telnet",
  };
  const flow = {
    kind: "flow",
    protocol: "tcp",
    destination_port: 23,
    application_protocol: "telnet",
    source,
    destination: { address: "10.0.0.9" },
  };
  expect(evidenceLines(flow)).toEqual([
    "tcp web-1 (10.0.0.1) → 10.0.0.9:23, speaks telnet",
    "from telnet db (user app, pid 7, /usr/bin/telnet)",
  ]);
  expect(evidenceLines("text")).toEqual([]);
  expect(evidenceLines(null)).toEqual([]);
  expect(evidenceLines({ text: "x".repeat(1_000) })[0]?.length).toBeLessThan(300);
});
