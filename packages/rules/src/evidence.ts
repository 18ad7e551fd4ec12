/** Telemetry of closed windows → evidence items. What isn't known is left out, so that a rule can tell it from an empty value. */

import { addressScope } from "@assay/schemas/address-scope";
import type { ConnectionObservation, Flow, ListenerObservation, ProcessObservation } from "@assay/schemas/generated/types";
import type { EvidenceItem, FieldValue } from "./rule";

export function processItem(o: ProcessObservation): EvidenceItem {
  return item("process_creation", {
    Image: known(o.image),
    ImageDeleted: o.image_deleted,
    CommandLine: known(o.command_line),
    CurrentDirectory: known(o.current_directory),
    User: known(o.user),
    ProcessId: o.pid,
    ParentImage: known(o.parent_image),
    ParentCommandLine: known(o.parent_command_line),
    ParentUser: known(o.parent_user),
    ParentListensOn: filled(o.parent_listens),
    Ancestors: filled(o.ancestors),
    AlreadyRunning: o.already_running,
  });
}

export function connectionItem(o: ConnectionObservation): EvidenceItem {
  return item("network_connection", {
    Image: known(o.image),
    CommandLine: known(o.command_line),
    User: known(o.user),
    ProcessId: o.pid === 0 ? undefined : o.pid,
    Ancestors: filled(o.ancestors),
    Protocol: o.protocol,
    Initiated: o.side === "source",
    SourceIp: o.source_address,
    SourceScope: addressScope(o.source_address),
    DestinationIp: o.destination_address,
    DestinationPort: o.destination_port,
    DestinationScope: addressScope(o.destination_address),
  });
}

/** used: whether somebody connected to it in the period that is asked about; left out where none is. */
export function listenerItem(o: ListenerObservation, used?: boolean): EvidenceItem {
  return item("listener", {
    Protocol: o.protocol,
    Address: o.address,
    Port: o.port,
    Scope: addressScope(o.address),
    Image: known(o.image),
    CommandLine: known(o.command_line),
    User: known(o.user),
    ProcessId: o.pid === 0 ? undefined : o.pid,
    ApplicationProtocol: known(o.application_protocol),
    Channel: o.channel === "unknown" ? undefined : o.channel,
    TlsVersion: known(o.tls?.version),
    TlsCipher: known(o.tls?.cipher),
    CertificateSubject: known(o.tls?.certificate_subject),
    CertificateIssuer: known(o.tls?.certificate_issuer),
    CertificateSelfSigned: o.tls?.self_signed,
    Used: used,
  });
}

/** Image, CommandLine and User are those of the end that opened the connection. */
export function flowItem({ source, destination, ...flow }: Flow): EvidenceItem {
  return item("flow", {
    Protocol: flow.protocol,
    ApplicationProtocol: known(flow.application_protocol),
    Channel: flow.channel === "unknown" ? undefined : flow.channel,
    TlsVersion: known(flow.tls_version),
    Image: known(source.image),
    CommandLine: known(source.command_line),
    User: known(source.user),
    Ancestors: filled(source.ancestors),
    SourceIp: known(source.address),
    SourceScope: source.scope,
    SourceHost: known(source.host_id),
    SourceHostname: known(source.host_name),
    SourceTier: known(source.tier),
    DestinationIp: known(destination.address),
    DestinationPort: flow.destination_port,
    DestinationScope: destination.scope,
    DestinationHost: known(destination.host_id),
    DestinationHostname: known(destination.host_name),
    DestinationTier: known(destination.tier),
    DestinationImage: known(destination.image),
    DestinationUser: known(destination.user),
    Initiated: source.host_id !== "",
  });
}

type Fields = Readonly<Record<string, FieldValue | undefined>>;

export function item(category: string, fields: Fields, service?: string): EvidenceItem {
  const present: Record<string, FieldValue> = {};
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value !== undefined) present[name] = value;
  }
  const base = { category, product: "linux", fields: present };
  return service === undefined ? base : { ...base, service };
}

/** Schemas write what isn't known as an empty text. */
export function known(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

export function filled<T extends string | number>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}
