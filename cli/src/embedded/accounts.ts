/** The accounts of this machine, as /etc/passwd has them. */
import { readFileSync } from "node:fs";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export function accountNamed(name: string): Account | undefined {
  return accounts().find((account) => account.name === name);
}

/** For messages: "ada (uid 1000)", or the id alone where it has no name. */
export function accountTitle(uid: number): string {
  const known = accounts().find((account) => account.uid === uid);
  return known ? `${known.name} (uid ${uid})` : `uid ${uid}`;
}

function accounts(): Account[] {
  return readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [name, , uid, gid] = line.split(":");
      return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
    });
}
