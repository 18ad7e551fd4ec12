/**
 * The one table of fields: how a value is named in our Avro schemas (or inventory content), in Sigma, in the Elastic Common Schema
 * and in OCSF. A rule of ours may read just these; a rule from elsewhere that reads others can match, but never be clear.
 *
 * Settings have no table: a setting item has every setting of its section, named as the program's own documentation names it.
 */

export interface Field {
  readonly category: string;
  readonly sigma: string;
  /** Relative to the record or content that the category's items are made of; [] marks the elements of an array. */
  readonly avro: string;
  readonly ecs: string | undefined;
  readonly ocsf: string | undefined;
  readonly type: "text" | "number" | "boolean" | "list";
}

type Row = readonly [sigma: string, avro: string, ecs: string, ocsf: string, type?: Field["type"]];

const rows: Readonly<Record<string, readonly Row[]>> = {
  process_creation: [
    ["Image", "image", "process.executable", "process.file.path"],
    ["ImageDeleted", "image_deleted", "", "process.file.is_deleted", "boolean"],
    ["CommandLine", "command_line", "process.command_line", "process.cmd_line"],
    ["CurrentDirectory", "current_directory", "process.working_directory", "process.working_directory"],
    ["User", "user", "user.name", "process.user.name"],
    ["ProcessId", "pid", "process.pid", "process.pid", "number"],
    ["ParentImage", "parent_image", "process.parent.executable", "process.parent_process.file.path"],
    ["ParentCommandLine", "parent_command_line", "process.parent.command_line", "process.parent_process.cmd_line"],
    ["ParentUser", "parent_user", "process.parent.user.name", "process.parent_process.user.name"],
    ["ParentListensOn", "parent_listens", "", "", "list"],
    ["Ancestors", "ancestors", "", "process.lineage", "list"],
    ["AlreadyRunning", "already_running", "", "", "boolean"],
  ],
  network_connection: [
    ["Image", "image", "process.executable", "actor.process.file.path"],
    ["CommandLine", "command_line", "process.command_line", "actor.process.cmd_line"],
    ["User", "user", "user.name", "actor.user.name"],
    ["ProcessId", "pid", "process.pid", "actor.process.pid", "number"],
    ["Ancestors", "ancestors", "", "actor.process.lineage", "list"],
    ["Protocol", "protocol", "network.transport", "connection_info.protocol_name"],
    ["Initiated", "side", "network.direction", "connection_info.direction", "boolean"],
    ["SourceIp", "source_address", "source.ip", "src_endpoint.ip"],
    ["SourceScope", "source_address", "", ""],
    ["DestinationIp", "destination_address", "destination.ip", "dst_endpoint.ip"],
    ["DestinationPort", "destination_port", "destination.port", "dst_endpoint.port", "number"],
    ["DestinationScope", "destination_address", "", ""],
  ],
  listener: [
    ["Protocol", "protocol", "network.transport", "connection_info.protocol_name"],
    ["Address", "address", "server.ip", "dst_endpoint.ip"],
    ["Port", "port", "server.port", "dst_endpoint.port", "number"],
    ["Scope", "address", "", ""],
    ["Image", "image", "process.executable", "actor.process.file.path"],
    ["CommandLine", "command_line", "process.command_line", "actor.process.cmd_line"],
    ["User", "user", "user.name", "actor.user.name"],
    ["ProcessId", "pid", "process.pid", "actor.process.pid", "number"],
    ["ApplicationProtocol", "application_protocol", "network.protocol", "app_name"],
    ["Channel", "channel", "", ""],
    ["TlsVersion", "tls.version", "tls.version", "tls.version"],
    ["TlsCipher", "tls.cipher", "tls.cipher", "tls.cipher"],
    ["CertificateSubject", "tls.certificate_subject", "tls.server.subject", "tls.certificate.subject"],
    ["CertificateIssuer", "tls.certificate_issuer", "tls.server.issuer", "tls.certificate.issuer"],
    ["CertificateSelfSigned", "tls.self_signed", "", "tls.certificate.is_self_signed", "boolean"],
    ["Used", "last_used_at", "", "", "boolean"],
  ],
  flow: [
    ["Protocol", "protocol", "network.transport", "connection_info.protocol_name"],
    ["ApplicationProtocol", "application_protocol", "network.protocol", "app_name"],
    ["Channel", "channel", "", ""],
    ["TlsVersion", "tls_version", "tls.version", "tls.version"],
    ["Image", "source.image", "process.executable", "actor.process.file.path"],
    ["CommandLine", "source.command_line", "process.command_line", "actor.process.cmd_line"],
    ["User", "source.user", "user.name", "actor.user.name"],
    ["Ancestors", "source.ancestors", "", "actor.process.lineage", "list"],
    ["SourceIp", "source.address", "source.ip", "src_endpoint.ip"],
    ["SourceScope", "source.scope", "", ""],
    ["SourceHost", "source.host_id", "source.domain", "src_endpoint.uid"],
    ["SourceHostname", "source.host_name", "source.domain", "src_endpoint.hostname"],
    ["SourceTier", "source.tier", "", ""],
    ["DestinationIp", "destination.address", "destination.ip", "dst_endpoint.ip"],
    ["DestinationPort", "destination_port", "destination.port", "dst_endpoint.port", "number"],
    ["DestinationScope", "destination.scope", "", ""],
    ["DestinationHost", "destination.host_id", "destination.domain", "dst_endpoint.uid"],
    ["DestinationHostname", "destination.host_name", "destination.domain", "dst_endpoint.hostname"],
    ["DestinationTier", "destination.tier", "", ""],
    ["DestinationImage", "destination.image", "", ""],
    ["DestinationUser", "destination.user", "destination.user.name", ""],
    ["Initiated", "source.host_id", "network.direction", "connection_info.direction", "boolean"],
  ],
  executable: [
    ["Image", "executables[].path", "process.executable", "process.file.path"],
    ["Deleted", "executables[].deleted", "", "process.file.is_deleted", "boolean"],
    ["Users", "executables[].users", "user.name", "", "list"],
    ["RunsAsRoot", "executables[].runs_as_root", "", "", "boolean"],
    ["CommandLine", "executables[].command_line", "process.command_line", "process.cmd_line"],
    ["Format", "executables[].format", "", ""],
    ["Nx", "executables[].hardening.nx", "", "", "boolean"],
    ["Canary", "executables[].hardening.canary", "", "", "boolean"],
    ["Pie", "executables[].hardening.pie", "", "", "boolean"],
    ["Relro", "executables[].hardening.relro", "", ""],
    ["Language", "executables[].hardening.language", "", ""],
    ["WritableCode", "executables[].writable_code[].path", "", "", "list"],
    ["WritableCodeBy", "executables[].writable_code[].writable_by", "", "", "list"],
    ["WritableCodeOwner", "executables[].writable_code[].owner", "", "", "list"],
  ],
  package: [
    ["Name", "packages[].name", "package.name", "package.name"],
    ["Version", "packages[].version", "package.version", "package.version"],
    ["Architecture", "packages[].architecture", "package.architecture", "package.architecture"],
    ["Source", "packages[].source", "", ""],
    ["SourceVersion", "packages[].source_version", "", ""],
    ["Ecosystem", "ecosystem", "package.type", ""],
  ],
  directory: [
    ["Path", "directories[].path", "file.path", "file.path"],
    ["Mode", "directories[].mode", "file.mode", ""],
    ["Owner", "directories[].owner", "file.owner", "file.owner.name"],
    ["Group", "directories[].group", "file.group", ""],
    ["WritableBy", "directories[].writable_by", "", ""],
  ],
  user: [
    ["User", "users[].name", "user.name", "user.name"],
    ["Uid", "users[].uid", "user.id", "user.uid", "number"],
    ["Gid", "users[].gid", "user.group.id", "", "number"],
    ["Home", "users[].home", "", ""],
    ["Shell", "users[].shell", "", ""],
    ["Password", "users[].password", "", ""],
    ["PasswordMaxDays", "users[].password_max_days", "", "", "number"],
  ],
};

export const fields: readonly Field[] = Object.entries(rows).flatMap(([category, list]) =>
  list.map(([sigma, avro, ecs, ocsf, type = "text"]) => ({
    category,
    sigma,
    avro,
    ecs: ecs === "" ? undefined : ecs,
    ocsf: ocsf === "" ? undefined : ocsf,
    type,
  })),
);

const names = new Map(Object.entries(rows).map(([category, list]) => [category, new Set(list.map(([sigma]) => sigma))]));

/** Sigma names of a category's fields; undefined where any name may occur, as for settings, or the category isn't known. */
export function fieldsOf(category: string): ReadonlySet<string> | undefined {
  return names.get(category);
}

/** Of the fields that a rule reads, those that its evidence doesn't have: never collected, or among `missing`. */
export function missingFields(
  rule: { readonly category: string; readonly fields: readonly string[] },
  missing: readonly string[],
) {
  const collected = fieldsOf(rule.category);
  return rule.fields.filter((field) => missing.includes(field) || (collected !== undefined && !collected.has(field)));
}
