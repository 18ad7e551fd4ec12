/**
 * As whom the services run. Started by an ordinary user: as that user. Started by root: as ASSAY_USER (default nobody), provided
 * that this user can read the code and reach the data; otherwise as root, with a warning that names the remedy.
 */
import { spawnSync } from "node:child_process";
import { constants } from "node:fs";
import { type Io, UserError } from "../io";
import { type Account, accountNamed } from "./accounts";

export interface ServicesUser {
  /** Set where the services run as somebody else than the supervisor. */
  readonly other: Account | undefined;
  /** Whom ASSAY_USER names, where that isn't root: an earlier start's services may have run as that user, also where they can't now. */
  readonly named: Account | undefined;
  readonly warning: string | undefined;
}

export const services_user_default = "nobody";
const probe_wait_ms = 10_000;

export function servicesUser(io: Pick<Io, "env" | "uid">, paths: readonly string[]): ServicesUser {
  if (io.uid !== 0) return as_starter;
  const name = io.env.ASSAY_USER || services_user_default;
  if (name === "root") return as_starter;
  const found = accountNamed(name);
  if (!found) throw new UserError(`there is no user named ${name} to run the services as (ASSAY_USER)`);
  const obstacle = outOfReach(found, paths, constants.R_OK);
  if (obstacle === undefined) return { other: found, named: found, warning: undefined };
  return asRoot(
    found,
    `${name} can't read ${obstacle}; install Assay where every user can read it, such as /opt, or name another user (ASSAY_USER)`,
  );
}

/** The same user, where it can use its directory, which is made by then; a directory above it may keep others out. */
export function reachingUser(user: ServicesUser, directory: string): ServicesUser {
  if (!user.other) return user;
  const { name } = user.other;
  if (outOfReach(user.other, [directory], constants.R_OK | constants.W_OK | constants.X_OK) === undefined) return user;
  return asRoot(
    user.named,
    `${name} can't reach ${directory}; keep the data where every user may pass, such as /var/lib/assay (--data, ASSAY_DATA_DIR), or name another user (ASSAY_USER)`,
  );
}

const as_starter: ServicesUser = { other: undefined, named: undefined, warning: undefined };

function asRoot(named: Account | undefined, because: string): ServicesUser {
  return { other: undefined, named, warning: `the services run as root, because ${because}` };
}

/** The first of the paths that the user may not use so. Asks a process of that user, so that every way in which access may be denied counts. */
function outOfReach(
  user: { readonly uid: number; readonly gid: number },
  paths: readonly string[],
  mode: number,
): string | undefined {
  const script = `for (const p of process.argv.slice(1)) try { require("fs").accessSync(p, ${mode}) } catch { console.log(p); break }`;
  const asked = spawnSync(process.execPath, ["-e", script, "--", ...paths], {
    uid: user.uid,
    gid: user.gid,
    cwd: "/",
    env: {},
    encoding: "utf8",
    timeout: probe_wait_ms,
  });
  if (asked.error || asked.status !== 0) return process.execPath; // node itself, then
  return asked.stdout.trim() || undefined;
}
