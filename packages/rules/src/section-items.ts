/**
 * A section of a host's inventory → evidence items: one per settings section, one per entry of the others. Content comes from agents, so
 * its form is checked here once; what has another form is refused as a whole.
 */
import type { SectionName } from "@assay/schemas/inventory";
import { filled, item, known } from "./evidence";
import type { EvidenceItem, FieldValue } from "./rule";

export interface SectionEvidence {
  readonly items: readonly EvidenceItem[];
  /** What the content itself says that it lacks; empty where nothing. */
  readonly incomplete: string;
  /** By item, the fields whose value the agent could not tell. A rule that reads one of them and doesn't match is not clear. */
  readonly unknown: ReadonlyMap<EvidenceItem, readonly string[]>;
}

/** Content whose form isn't that of its section. */
export class MalformedSection extends Error {}

/** Throws a MalformedSection. Sections that no category reads have no items. */
export function sectionItems(section: SectionName, content: unknown): SectionEvidence {
  const unknown = new Map<EvidenceItem, readonly string[]>();
  const reading: Reading = { content: record(content, section), section, unknown };
  const items = readers[section](reading);
  return { items, unknown, incomplete: section === "executables" ? unreadable(reading) : "" };
}

type Json = Readonly<Record<string, unknown>>;
interface Reading {
  readonly content: Json;
  readonly section: SectionName;
  readonly unknown: Map<EvidenceItem, readonly string[]>;
}

const readers: Readonly<Record<SectionName, (reading: Reading) => EvidenceItem[]>> = {
  os: () => [],
  addresses: () => [],
  sshd: settings,
  "login-defs": settings,
  "password-quality": settings,
  kernel: settings,
  packages: ({ content, section }) =>
    entries(content, "packages", section).map((p) =>
      item("package", {
        Name: text(p, "name"),
        Version: text(p, "version"),
        Architecture: text(p, "architecture"),
        Source: text(p, "source"),
        SourceVersion: text(p, "source_version"),
        Ecosystem: text(content, "ecosystem"),
      }),
    ),
  directories: ({ content, section }) =>
    entries(content, "directories", section).map((d) =>
      item("directory", {
        Path: text(d, "path"),
        Mode: text(d, "mode"),
        Owner: text(d, "owner"),
        Group: text(d, "group"),
        WritableBy: text(d, "writable_by"),
      }),
    ),
  users: (reading) => entries(reading.content, "users", "users").map((u) => userItem(u, reading)),
  executables: (reading) => entries(reading.content, "executables", "executables").map((e) => executableItem(e, reading)),
};

function settings({ content, section }: Reading): EvidenceItem[] {
  const fields: Record<string, FieldValue> = {};
  for (const [name, value] of Object.entries(record(content.settings, `${section}.settings`))) {
    if (typeof value !== "string") throw new MalformedSection(`${section}: the setting ${name} must be a text`);
    fields[name] = value;
  }
  return [item("setting", fields, section)];
}

function userItem(user: Json, { unknown }: Reading): EvidenceItem {
  const password = text(user, "password");
  const made = item("user", {
    User: text(user, "name"),
    Uid: number(user, "uid"),
    Gid: number(user, "gid"),
    Home: text(user, "home"),
    Shell: text(user, "shell"),
    Password: password === "unknown" ? undefined : password,
    PasswordMaxDays: number(user, "password_max_days"),
  });
  if (password === "unknown") unknown.set(made, ["Password", "PasswordMaxDays"]);
  return made;
}

function executableItem(executable: Json, { unknown }: Reading): EvidenceItem {
  const format = text(executable, "format");
  const hardening = executable.hardening === undefined ? {} : record(executable.hardening, "hardening");
  const writable = entries(executable, "writable_code", "executables");
  const made = item("executable", {
    Image: text(executable, "path"),
    Deleted: flag(executable, "deleted"),
    Users: filled(texts(executable, "users")),
    RunsAsRoot: flag(executable, "runs_as_root"),
    CommandLine: text(executable, "command_line"),
    Format: format,
    Nx: flag(hardening, "nx"),
    Canary: flag(hardening, "canary"),
    Pie: flag(hardening, "pie"),
    Relro: text(hardening, "relro"),
    Language: text(hardening, "language"),
    WritableCode: filled(writable.flatMap((w) => text(w, "path") ?? [])),
    WritableCodeBy: filled(writable.flatMap((w) => text(w, "writable_by") ?? [])),
    WritableCodeOwner: filled(writable.flatMap((w) => text(w, "owner") ?? [])),
  });
  const unread = format === "elf" && executable.hardening === undefined;
  if (unread) unknown.set(made, ["Nx", "Canary", "Pie", "Relro", "Language"]);
  return made;
}

function unreadable({ content }: Reading): string {
  const count = number(content, "unreadable") ?? 0;
  return count === 0 ? "" : `the executables of ${count} processes could not be read`;
}

function record(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new MalformedSection(`${what} must be an object`);
  return value as Json;
}

function entries(content: Json, name: string, section: string): Json[] {
  const list = content[name];
  if (!Array.isArray(list)) throw new MalformedSection(`${section}.${name} must be a list`);
  return list.map((entry: unknown) => record(entry, `each of ${section}.${name}`));
}

function text(from: Json, name: string): string | undefined {
  const value = from[name];
  if (value === undefined || typeof value === "string") return known(value);
  throw new MalformedSection(`${name} must be a text`);
}

function number(from: Json, name: string): number | undefined {
  const value = from[name];
  if (value === undefined || typeof value === "number") return value;
  throw new MalformedSection(`${name} must be a number`);
}

function flag(from: Json, name: string): boolean | undefined {
  const value = from[name];
  if (value === undefined || typeof value === "boolean") return value;
  throw new MalformedSection(`${name} must be true or false`);
}

function texts(from: Json, name: string): string[] {
  const value = from[name];
  if (Array.isArray(value) && value.every((v) => typeof v === "string")) return value;
  throw new MalformedSection(`${name} must be a list of texts`);
}
