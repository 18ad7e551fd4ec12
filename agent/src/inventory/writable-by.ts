/** Who besides root may write a file or folder: the permission bits, read with group membership and the sticky bit; not ACLs. */
import type { FileFacts } from "@assay/schemas/inventory";
import { parseGroup, parsePasswd } from "../parse/accounts";
import { readText } from "../read/files";

export type WritableBy = FileFacts["writable_by"];

export interface Permissions {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Groups that hold somebody besides root. */
export type InhabitedGroups = ReadonlySet<number>;

/**
 * A folder with the sticky bit lets others add entries, not touch those that aren't theirs; what it is asked here is whether what
 * stands in it is safe from others, so it counts as its owner's.
 */
export function writableBy({ mode, uid, gid }: Permissions, inhabited: InhabitedGroups): WritableBy {
  const sticky = (mode & folder_bits) === folder_type && (mode & sticky_bit) !== 0;
  if ((mode & 0o002) !== 0 && !sticky) return "world";
  if ((mode & 0o020) !== 0 && !sticky && inhabited.has(gid)) return "group";
  return uid === 0 ? "root" : "owner"; // an owner may always give himself the right
}

/** In a sticky folder, only an entry's own owner may replace it. */
export function entryReplaceableBy(folder: Permissions, entry: Permissions, inhabited: InhabitedGroups): WritableBy {
  const by = writableBy(folder, inhabited);
  const sticky = (folder.mode & sticky_bit) !== 0;
  return by === "root" && sticky && (folder.mode & 0o022) !== 0 && entry.uid !== 0 ? "owner" : by;
}

/** Where the files that say it cannot be read, every group counts as inhabited. */
export function readInhabitedGroups(root: string): InhabitedGroups {
  const passwd = readText(`${root}/etc/passwd`);
  const group = readText(`${root}/etc/group`);
  if (passwd.kind !== "read" || group.kind !== "read") return everyGroup;
  const accounts = parsePasswd(passwd.value);
  const byName = new Map(accounts.map((account) => [account.name, account.uid]));
  const inhabited = new Set(accounts.filter((account) => account.uid !== 0).map((account) => account.gid));
  for (const { gid, members } of parseGroup(group.value)) {
    if (members.some((member) => byName.get(member) !== 0)) inhabited.add(gid);
  }
  return inhabited;
}

const everyGroup = { has: () => true } as unknown as InhabitedGroups;

export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

const folder_bits = 0o170000;
const folder_type = 0o040000;
const sticky_bit = 0o1000;
