/** User and group names by number, read again when the files change. */
import { readFileSync, statSync } from "node:fs";
import { parseGroup, parsePasswd } from "../parse/accounts";
import { attempt } from "./read";

export class AccountNames {
  private users: Cached;
  private groups: Cached;

  constructor(
    root: string,
    private readonly now: () => number,
  ) {
    this.users = new Cached(`${root}/etc/passwd`, (text) => parsePasswd(text).map((a) => [a.uid, a.name]));
    this.groups = new Cached(`${root}/etc/group`, (text) => parseGroup(text).map((g) => [g.gid, g.name]));
  }

  /** The number where the host gives no name. */
  user(uid: number): string {
    return this.users.get(uid, this.now());
  }

  group(gid: number): string {
    return this.groups.get(gid, this.now());
  }
}

class Cached {
  private names = new Map<number, string>();
  private modified = "";
  private checkedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly path: string,
    private readonly parse: (text: string) => [number, string][],
  ) {}

  get(id: number, now: number): string {
    if (now - this.checkedAt >= check_wait_ms) this.refresh(now);
    return this.names.get(id) ?? String(id);
  }

  private refresh(now: number): void {
    this.checkedAt = now;
    const stat = attempt(() => statSync(this.path));
    if (stat.kind !== "read") return;
    const modified = `${stat.value.mtimeMs}/${stat.value.ino}/${stat.value.size}`;
    if (modified === this.modified) return;
    const text = attempt(() => readFileSync(this.path, "utf8"));
    if (text.kind !== "read") return;
    this.names = new Map(this.parse(text.value).reverse()); // of two names for one number, the first counts
    this.modified = modified;
  }
}

const check_wait_ms = 5_000;
