/** /etc/passwd, group and shadow: see passwd(5), group(5), shadow(5). Lines that don't fit are left out. */

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
  /** The second field: x where shadow holds the password. */
  readonly password: string;
}

export function parsePasswd(text: string): Account[] {
  return lines(text).flatMap((fields) => {
    const [name, password, uid, gid, , home, shell] = fields;
    if (!name || password === undefined || !isId(uid) || !isId(gid)) return [];
    return [{ name, password, uid: Number(uid), gid: Number(gid), home: home ?? "", shell: shell ?? "" }];
  });
}

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

export function parseGroup(text: string): Group[] {
  return lines(text).flatMap(([name, , gid, members]) => {
    if (!name || !isId(gid)) return [];
    return [{ name, gid: Number(gid), members: (members ?? "").split(",").filter((m) => m !== "") }];
  });
}

export type PasswordState = "set" | "empty" | "locked" | "unknown";

export interface ShadowEntry {
  readonly password: PasswordState;
  /** Undefined where unset. */
  readonly max_days: number | undefined;
}

/** The hash itself never leaves this function. */
export function parseShadow(text: string): Map<string, ShadowEntry> {
  const entries = new Map<string, ShadowEntry>();
  for (const [name, hash, , , max] of lines(text)) {
    if (!name || hash === undefined) continue;
    entries.set(name, { password: passwordState(hash), max_days: isId(max) ? Number(max) : undefined });
  }
  return entries;
}

export function passwordState(hash: string): PasswordState {
  if (hash === "") return "empty";
  return hash.startsWith("!") || hash.startsWith("*") ? "locked" : "set";
}

function lines(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text);
}
