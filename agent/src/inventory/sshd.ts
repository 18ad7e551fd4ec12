/**
 * sshd's settings as they work: what `sshd -T` says, which needs root and the host keys; else sshd_config, its includes, and
 * OpenSSH's defaults. Match blocks hold for some connections only and are left out of both.
 */
import { execFile } from "node:child_process";
import { basename, dirname } from "node:path";
import { parseSshdConfig, parseSshdTest, repeatedKeywords, sshdDefaults, sshdKeyword } from "../parse/sshd-config";
import { exists, names, readText } from "../read/files";
import { type Collected, collected, type Place } from "./section";

/** What `sshd -T` printed; undefined where it can't be run or says no. */
export type TestSshd = (binary: string) => Promise<string | undefined>;

export async function collectSshd({ root }: Place, test: TestSshd = runTest): Promise<Collected<"sshd">> {
  const binary = binaries.find((path) => exists(root + path));
  if (binary === undefined) return { status: "absent", reason: "there is no sshd", content: { settings: {}, sources: {} } };
  const output = await test(root + binary);
  if (output !== undefined) {
    const settings = { Protocol: "2", ...parseSshdTest(output) };
    const sources = Object.fromEntries(Object.keys(settings).map((keyword) => [keyword, "sshd -T"]));
    return collected<"sshd">({ settings, sources: { ...sources, Protocol: "default" } });
  }
  return readConfig(root);
}

const binaries: readonly string[] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd"];

/** What its settings hang on. */
export const sshdPaths: readonly string[] = [...binaries, "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d"];

function runTest(binary: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(binary, ["-T"], { timeout: test_wait_ms, maxBuffer: output_bytes_max, env: {} }, (error, stdout) =>
      resolve(error || !/^port /m.test(stdout) ? undefined : stdout),
    );
  });
}

function readConfig(root: string): Collected<"sshd"> {
  const settings: Record<string, string> = {};
  const sources: Record<string, string> = {};
  const problems: string[] = [];
  readFile(root, "/etc/ssh/sshd_config", { settings, sources, problems }, 0);
  for (const [keyword, value] of Object.entries(sshdDefaults)) {
    if (keyword in settings) continue;
    settings[keyword] = value;
    sources[keyword] = "default";
  }
  const content = { settings, sources };
  if (problems.length === 0) return collected<"sshd">(content);
  const whole = problems.includes("/etc/ssh/sshd_config");
  const reason = `sshd -T can't be run, and not readable: ${problems.join(", ")}`;
  return whole
    ? { status: "unreadable", reason, content: { settings: {}, sources: {} } }
    : { status: "partial", reason, content };
}

interface Into {
  readonly settings: Record<string, string>;
  readonly sources: Record<string, string>;
  readonly problems: string[];
}

function readFile(root: string, path: string, into: Into, depth: number): void {
  const text = readText(root + path);
  if (text.kind === "denied") into.problems.push(path);
  if (text.kind !== "read" || depth > include_depth_max) return; // without the file, the defaults hold
  for (const { keyword: word, value, line } of parseSshdConfig(text.value).lines) {
    const keyword = sshdKeyword(word);
    if (keyword === "Include") {
      for (const included of includedFiles(root, value)) readFile(root, included, into, depth + 1);
    } else if (!(keyword in into.settings)) {
      into.settings[keyword] = value;
      into.sources[keyword] = `${path}:${line}`;
    } else if (repeatedKeywords.has(keyword)) {
      into.settings[keyword] += `,${value}`;
    }
  }
}

/** Patterns with stars in the last part of the path, which is where they are used; relative ones begin at /etc/ssh. */
function includedFiles(root: string, value: string): string[] {
  return value.split(/\s+/).flatMap((word) => {
    const path = word.startsWith("/") ? word : `/etc/ssh/${word}`;
    const name = basename(path);
    if (!/[*?]/.test(name)) return [path];
    const pattern = new RegExp(
      `^${name
        .replace(/[.+^${}()|[\]\\]/g, "\\$&")
        .replaceAll("*", ".*")
        .replaceAll("?", ".")}$`,
    );
    const found = names(root + dirname(path));
    return found.kind === "read" ? found.value.filter((n) => pattern.test(n)).map((n) => `${dirname(path)}/${n}`) : [];
  });
}

const test_wait_ms = 5_000;
const output_bytes_max = 1024 * 1024;
const include_depth_max = 8;
