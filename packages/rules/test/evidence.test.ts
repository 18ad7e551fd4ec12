import { categories } from "@assay/rules/categories";
import { connectionItem, flowItem, listenerItem, processItem } from "@assay/rules/evidence";
import { fields, fieldsOf } from "@assay/rules/fields";
import type { EvidenceItem } from "@assay/rules/rule";
import { sectionItems } from "@assay/rules/section-items";
import { addressScope } from "@assay/schemas/address-scope";
import type { ConnectionObservation, Endpoint, ListenerObservation, ProcessObservation } from "@assay/schemas/generated/types";

const times = { count: 1, first: 0, last: 0, deltas: Buffer.alloc(0), per_second: [] };
const process: ProcessObservation = {
  pid: 7,
  image: "/usr/bin/dash",
  image_deleted: false,
  command_line: "sh -c id",
  current_directory: "/srv",
  user: "www-data",
  parent_image: "/usr/sbin/apache2",
  parent_command_line: "apache2 -k start",
  parent_user: "root",
  parent_listens: [80, 443],
  ancestors: ["apache2 -k start", "/sbin/init"],
  started_at: 1,
  already_running: false,
  times,
};
const connection: ConnectionObservation = {
  protocol: "tcp",
  side: "source",
  source_address: "10.0.0.1",
  destination_address: "127.0.0.1",
  destination_port: 23,
  pid: 7,
  image: "/usr/bin/telnet",
  command_line: "telnet h",
  user: "alice",
  ancestors: ["bash"],
  connections: 1,
  times,
};
const listener: ListenerObservation = {
  protocol: "tcp",
  address: "0.0.0.0",
  port: 443,
  pid: 7,
  image: "/usr/sbin/nginx",
  command_line: "nginx",
  user: "root",
  application_protocol: "http",
  channel: "tls",
  tls: {
    version: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    certificate_subject: "CN=a",
    certificate_issuer: "CN=b",
    certificate_not_after: 5,
    self_signed: false,
  },
  observed_since: 0,
  last_used_at: 0,
  times,
};
const end = (host_id: string, address: string): Endpoint => ({
  host_id,
  host_name: host_id,
  tier: "web",
  address,
  scope: "private",
  pid: 7,
  image: "/usr/bin/curl",
  command_line: "curl x",
  user: "alice",
  ancestors: ["bash"],
});
const flow = {
  source: end("h1", "10.0.0.1"),
  destination: end("h2", "10.0.0.2"),
  protocol: "tcp" as const,
  destination_port: 80,
  application_protocol: "http",
  channel: "cleartext" as const,
  tls_version: "TLSv1.3",
  count_source: 1,
  count_destination: 1,
  count: 1,
  first: 0,
  last: 0,
};

const sections = {
  executables: {
    unreadable: 0,
    executables: [
      {
        path: "/usr/bin/x",
        deleted: false,
        users: ["root"],
        runs_as_root: true,
        command_line: "x",
        format: "elf",
        hardening: { nx: true, canary: false, pie: true, relro: "full", language: "c" },
        writable_code: [{ path: "/home/a/l.so", writable_by: "owner", owner: "a" }],
      },
    ],
  },
  packages: {
    ecosystem: "dpkg",
    packages: [{ name: "a", version: "1", architecture: "amd64", source: "a", source_version: "1" }],
  },
  directories: { directories: [{ path: "/opt", mode: "0755", owner: "root", group: "root", writable_by: "root" }] },
  users: {
    users: [{ name: "a", uid: 1, gid: 1, home: "/", shell: "/bin/sh", password: "set", password_max_days: 90 }],
  },
} as const;

const full: Readonly<Record<string, EvidenceItem>> = {
  process_creation: processItem(process),
  network_connection: connectionItem(connection),
  listener: listenerItem(listener, false),
  flow: flowItem(flow),
  executable: first("executables"),
  package: first("packages"),
  directory: first("directories"),
  user: first("users"),
};

function first(section: keyof typeof sections): EvidenceItem {
  const [item] = sectionItems(section, sections[section]).items;
  if (!item) throw new Error("no item");
  return item;
}

test("an item has just the fields of the table, of the type that it says", () => {
  for (const [category, item] of Object.entries(full)) {
    expect(item.category).toBe(category);
    expect(Object.keys(item.fields).sort()).toEqual([...(fieldsOf(category) ?? [])].sort());
    for (const { sigma, type } of fields.filter((f) => f.category === category)) {
      const value = item.fields[sigma];
      const actual = Array.isArray(value) ? "list" : typeof value === "string" ? "text" : typeof value;
      expect([category, sigma, actual]).toEqual([category, sigma, type]);
    }
  }
});

test("every category but settings has a table", () => {
  expect(categories.filter((c) => fieldsOf(c.name) === undefined).map((c) => c.name)).toEqual(["setting"]);
});

test("a process has Sigma's names", () => {
  expect(processItem(process)).toEqual({
    category: "process_creation",
    product: "linux",
    fields: {
      Image: "/usr/bin/dash",
      ImageDeleted: false,
      CommandLine: "sh -c id",
      CurrentDirectory: "/srv",
      User: "www-data",
      ProcessId: 7,
      ParentImage: "/usr/sbin/apache2",
      ParentCommandLine: "apache2 -k start",
      ParentUser: "root",
      ParentListensOn: [80, 443],
      Ancestors: ["apache2 -k start", "/sbin/init"],
      AlreadyRunning: false,
    },
  });
});

test("what isn't known is left out", () => {
  const unknown = { ...connection, pid: 0, image: "", command_line: "", user: "", ancestors: [] };
  expect(Object.keys(connectionItem(unknown).fields)).toEqual([
    ...["Protocol", "Initiated", "SourceIp", "SourceScope", "DestinationIp", "DestinationPort", "DestinationScope"],
  ]);
  const silent = { ...listener, application_protocol: "", channel: "unknown" as const, tls: null };
  expect(listenerItem(silent).fields).toMatchObject({ Scope: "any", Port: 443 });
  for (const name of ["ApplicationProtocol", "Channel", "TlsVersion", "CertificateSelfSigned", "Used"]) {
    expect(listenerItem(silent).fields).not.toHaveProperty(name);
  }
  expect(processItem({ ...process, parent_listens: [] }).fields).not.toHaveProperty("ParentListensOn");
});

test("which end opened a connection", () => {
  expect(connectionItem(connection).fields.Initiated).toBe(true);
  expect(connectionItem({ ...connection, side: "destination" }).fields.Initiated).toBe(false);
  expect(flowItem({ ...flow, source: end("", "203.0.113.1") }).fields.Initiated).toBe(false);
});

test("settings are one item, named as their program names them", () => {
  const { items } = sectionItems("sshd", { settings: { PermitRootLogin: "no", Port: "22" }, sources: {} });
  const fields = { PermitRootLogin: "no", Port: "22" };
  expect(items).toEqual([{ category: "setting", product: "linux", service: "sshd", fields }]);
});

test("an executable whose headers could not be read has unknown protections", () => {
  const [{ hardening: _, ...unread }] = sections.executables.executables;
  const evidence = sectionItems("executables", { unreadable: 2, executables: [unread] });
  expect([...evidence.unknown.values()]).toEqual([["Nx", "Canary", "Pie", "Relro", "Language"]]);
  expect(evidence.incomplete).toBe("the executables of 2 processes could not be read");
});

test.each([
  ["sshd", { settings: { Port: 22 } }, "the setting Port must be a text"],
  ["sshd", {}, "sshd.settings must be an object"],
  ["users", { users: [5] }, "each of users.users must be an object"],
  ["users", { users: [{ name: 5 }] }, "name must be a text"],
  ["executables", { executables: [{ path: "x", users: [1], writable_code: [] }] }, "users must be a list of texts"],
] as const)("content of %s of another form is refused: %j", (section, content, message) => {
  expect(() => sectionItems(section, content)).toThrow(message);
});

test.each([
  ["0.0.0.0", "any"],
  ["::", "any"],
  ["127.0.0.53", "loopback"],
  ["::1", "loopback"],
  ["::ffff:127.0.0.1", "loopback"],
  ["169.254.169.254", "link_local"],
  ["fe80::1%eth0", "link_local"],
  ["172.17.0.2", "container"],
  ["10.0.0.1", "private"],
  ["fd00::1", "private"],
  ["100.64.0.1", "private"],
  ["93.184.215.14", "public"],
  ["2606:2800::1", "public"],
  ["x", undefined],
])("the scope of %s is %s", (address, scope) => {
  expect(addressScope(address)).toBe(scope);
});
