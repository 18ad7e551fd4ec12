/** Accounts: /etc/passwd, and whether each has a password, where shadow may be read. */
import { type Account, type PasswordState, parsePasswd, parseShadow, passwordState, type ShadowEntry } from "../parse/accounts";
import { readText } from "../read/files";
import { type Collected, collected, type Place } from "./section";

export function collectUsers({ root }: Place): Collected<"users"> {
  const passwd = readText(`${root}/etc/passwd`);
  if (passwd.kind !== "read") {
    return {
      status: passwd.kind === "gone" ? "absent" : "unreadable",
      reason: `/etc/passwd is ${passwd.kind}`,
      content: { users: [] },
    };
  }
  const shadow = readText(`${root}/etc/shadow`);
  const entries = shadow.kind === "read" ? parseShadow(shadow.value) : undefined;
  const users = parsePasswd(passwd.value).map((account) => ({
    name: account.name,
    uid: account.uid,
    gid: account.gid,
    home: account.home,
    shell: account.shell,
    password: passwordOf(account, entries),
    ...maxDays(entries?.get(account.name)),
  }));
  if (shadow.kind !== "read") return { status: "partial", reason: `/etc/shadow is ${shadow.kind}`, content: { users } };
  return collected<"users">({ users });
}

/** Only where passwd says x does shadow count: an empty second field lets anybody in. */
function passwordOf(account: Account, shadow: Map<string, ShadowEntry> | undefined): PasswordState {
  if (account.password !== "x") return passwordState(account.password);
  if (!shadow) return "unknown";
  return shadow.get(account.name)?.password ?? "locked";
}

function maxDays(entry: ShadowEntry | undefined): { password_max_days?: number } {
  return entry?.max_days === undefined ? {} : { password_max_days: entry.max_days };
}
