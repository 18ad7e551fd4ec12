/**
 * What is asked of a new password. Keys:
 *   module       pam_pwquality, pam_cracklib or none: who checks; where none, no other of these but minlen holds
 *   minlen, dcredit, ucredit, lcredit, ocredit, minclass, maxrepeat, difok, dictcheck, enforce_for_root, …
 *                as pwquality.conf(5) names them: PAM's arguments win over the file, the file over the defaults
 *   remember     how many earlier passwords are refused, by pam_pwhistory or pam_unix; 0 for none
 *   nullok       yes where pam_unix takes empty passwords
 *   hash         pam_unix's algorithm
 */
import { parsePamPassword, parsePwquality } from "../parse/settings-files";
import { exists, names, readText } from "../read/files";
import { type Collected, collected, type Place } from "./section";

export function collectPasswordQuality({ root }: Place): Collected<"password-quality"> {
  const start = pamFiles.find((file) => exists(`${root}/etc/pam.d/${file}`));
  if (start === undefined) {
    return { status: "absent", reason: "PAM has no file that passwords go by", content: { settings: {}, sources: {} } };
  }
  const unreadable: string[] = [];
  const modules = readModules(root, start, unreadable, 0);
  const facts = new Facts();
  const checker = modules.find((m) => m.module === "pam_pwquality" || m.module === "pam_cracklib");
  facts.set("module", checker?.module ?? "none", checker?.source ?? `/etc/pam.d/${start}`);
  if (checker) {
    for (const [name, value] of Object.entries(qualityDefaults)) facts.set(name, value, "default");
    if (checker.module === "pam_pwquality") readPwqualityFiles(root, facts, unreadable);
    applyArguments(checker, facts, (name) => name in qualityDefaults);
  }
  facts.set("remember", "0", "default");
  facts.set("nullok", "no", "default");
  for (const module of modules) {
    if (module.module === "pam_pwhistory") {
      facts.set("remember", "10", "default"); // of pam_pwhistory(8)
      readHistoryFile(root, facts);
      applyArguments(module, facts, (name) => name === "remember");
    }
    if (module.module === "pam_unix") applyUnix(module, facts, checker !== undefined);
  }
  if (unreadable.length > 0)
    return { status: "partial", reason: `not readable: ${unreadable.join(", ")}`, content: facts.content() };
  return collected<"password-quality">(facts.content());
}

/** Debian's, then those of the Red Hat family and SUSE's. */
const pamFiles = ["common-password", "system-auth", "password-auth", "passwd"];

const qualityDefaults: Readonly<Record<string, string>> = {
  minlen: "8",
  dcredit: "0",
  ucredit: "0",
  lcredit: "0",
  ocredit: "0",
  minclass: "0",
  maxrepeat: "0",
  maxsequence: "0",
  maxclassrepeat: "0",
  difok: "1",
  dictcheck: "1",
  usercheck: "1",
  enforcing: "1",
  enforce_for_root: "no",
  retry: "1",
};

interface Module {
  readonly module: string;
  readonly args: readonly string[];
  readonly source: string;
}

function readModules(root: string, file: string, unreadable: string[], depth: number): Module[] {
  const path = `/etc/pam.d/${file}`;
  const text = readText(root + path);
  if (text.kind === "denied") unreadable.push(path);
  if (text.kind !== "read" || depth > include_depth_max) return [];
  return parsePamPassword(text.value).flatMap((line) =>
    line.kind === "include"
      ? readModules(root, line.file, unreadable, depth + 1)
      : [{ module: line.module, args: line.args, source: `${path}:${line.line}` }],
  );
}

function readPwqualityFiles(root: string, facts: Facts, unreadable: string[]): void {
  const folder = names(`${root}/etc/security/pwquality.conf.d`);
  const extra = folder.kind === "read" ? folder.value.filter((n) => n.endsWith(".conf")).map((n) => `pwquality.conf.d/${n}`) : [];
  // The folder's files come first, and the file itself has the last word.
  for (const file of [...extra, "pwquality.conf"]) {
    const path = `/etc/security/${file}`;
    const text = readText(root + path);
    if (text.kind === "denied") unreadable.push(path);
    if (text.kind !== "read") continue;
    for (const { name, value, line } of parsePwquality(text.value))
      facts.set(name, value === "" ? "yes" : value, `${path}:${line}`);
  }
}

function readHistoryFile(root: string, facts: Facts): void {
  const path = "/etc/security/pwhistory.conf";
  const text = readText(root + path);
  if (text.kind !== "read") return;
  for (const { name, value, line } of parsePwquality(text.value)) {
    if (name === "remember") facts.set(name, value, `${path}:${line}`);
  }
}

function applyArguments({ args, source }: Module, facts: Facts, wanted: (name: string) => boolean): void {
  for (const arg of args) {
    const [name = "", value] = arg.split("=");
    if (wanted(name)) facts.set(name, value ?? "yes", source);
  }
}

function applyUnix({ args, source }: Module, facts: Facts, checked: boolean): void {
  // pam_unix's own minimum, which counts where nobody else checks.
  if (!checked) facts.set("minlen", "6", "default");
  for (const arg of args) {
    const [name = "", value] = arg.split("=");
    if (name === "minlen" && !checked && value !== undefined) facts.set(name, value, source);
    if (name === "remember" && value !== undefined) facts.set(name, value, source);
    if (name === "nullok") facts.set(name, "yes", source);
    if (hashes.has(name)) facts.set("hash", name, source);
  }
}

const hashes = new Set(["md5", "bigcrypt", "sha256", "sha512", "blowfish", "gost_yescrypt", "yescrypt"]);
const include_depth_max = 8;

class Facts {
  private readonly settings: Record<string, string> = {};
  private readonly sources: Record<string, string> = {};

  set(name: string, value: string, source: string): void {
    this.settings[name] = value;
    this.sources[name] = source;
  }

  content() {
    return { settings: this.settings, sources: this.sources };
  }
}
