/** Permissions of the folders that programs and settings of the system come from, and of every folder in root's PATH. */
import type { FileFacts } from "@assay/schemas/inventory";
import { parseLoginDefs } from "../parse/settings-files";
import type { AccountNames } from "../read/account-names";
import { readText, realPath, stat } from "../read/files";
import { type Collected, collected, type Place } from "./section";
import { octal, readInhabitedGroups, writableBy } from "./writable-by";

export function collectDirectories({ root }: Place, accounts: AccountNames): Collected<"directories"> {
  const inhabited = readInhabitedGroups(root);
  const directories: FileFacts[] = [];
  const denied: string[] = [];
  const seen = new Set<string>();
  for (const path of [...systemFolders, ...rootPath(root)]) {
    const real = realPath(root + path); // /bin is /usr/bin on most of today's systems
    if (real.kind === "denied") denied.push(path);
    if (real.kind !== "read" || seen.has(real.value)) continue;
    seen.add(real.value);
    const found = stat(real.value);
    if (found.kind === "denied") denied.push(path);
    if (found.kind !== "read" || !found.value.isDirectory()) continue;
    const { mode, uid, gid } = found.value;
    directories.push({
      path: root === "" ? real.value : real.value.slice(root.length) || "/",
      mode: octal(mode),
      owner: accounts.user(uid),
      group: accounts.group(gid),
      writable_by: writableBy({ mode, uid, gid }, inhabited),
    });
  }
  directories.sort((a, b) => (a.path < b.path ? -1 : 1));
  if (denied.length > 0) return { status: "partial", reason: `not readable: ${denied.join(", ")}`, content: { directories } };
  return collected<"directories">({ directories });
}

/** ENV_SUPATH of login.defs is what root gets at login; the usual one where it says nothing. */
function rootPath(root: string): string[] {
  const text = readText(`${root}/etc/login.defs`);
  const line = text.kind === "read" ? parseLoginDefs(text.value).findLast((a) => a.name === "ENV_SUPATH") : undefined;
  const path = (line?.value ?? usualPath).replace(/^PATH=/, "");
  return path.split(":").filter((folder) => folder.startsWith("/"));
}

const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const systemFolders = [
  "/",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/boot",
  "/etc",
  "/etc/cron.d",
  "/etc/cron.daily",
  "/etc/cron.hourly",
  "/etc/cron.monthly",
  "/etc/cron.weekly",
  "/etc/init.d",
  "/etc/ld.so.conf.d",
  "/etc/pam.d",
  "/etc/profile.d",
  "/etc/security",
  "/etc/ssh",
  "/etc/sudoers.d",
  "/etc/systemd/system",
  "/opt",
  "/root",
  "/tmp",
  "/usr",
  "/usr/bin",
  "/usr/lib",
  "/usr/lib/systemd/system",
  "/usr/lib32",
  "/usr/lib64",
  "/usr/libexec",
  "/usr/local",
  "/usr/local/bin",
  "/usr/local/lib",
  "/usr/local/sbin",
  "/usr/sbin",
  "/usr/share",
  "/var",
  "/var/lib",
  "/var/log",
  "/var/spool/cron",
  "/var/spool/cron/crontabs",
  "/var/tmp",
];
