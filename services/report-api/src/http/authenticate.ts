/** Who calls: an API key, by its SHA-256 among control's keys. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { ControlReader } from "../control";
import { Problem } from "./problem";
import type { Caller, Role } from "./route";

export const key_length_max = 512;

export interface Credentials {
  readonly authorization: string | undefined;
  readonly api_key: string | undefined;
}

/** Throws a Problem where no key, an unknown or a revoked one was given. */
export function authenticate(control: Pick<ControlReader, "all">, credentials: Credentials): Caller {
  const key = keyOf(credentials);
  const digest = createHash("sha256").update(key).digest();
  let found: Caller | undefined;
  // Every key is compared, each in constant time, so that the time tells nothing of how near a guess was.
  for (const { id, value } of control.all("key")) {
    const equal = timingSafeEqual(digest, Buffer.from(value.key_sha256, "hex"));
    if (equal && !value.revoked) found = { id, name: value.name, role: value.role };
  }
  if (!found) throw unauthenticated("the API key is not known, or was revoked");
  return found;
}

/** Throws a Problem where the caller's role is less than what is needed. */
export function authorize(caller: Caller, needed: Role): void {
  if (ranks[caller.role] >= ranks[needed]) return;
  throw new Problem("forbidden", `the key ${JSON.stringify(caller.name)} has the role ${caller.role}; this needs ${needed}`);
}

const ranks: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };

function keyOf({ authorization, api_key }: Credentials): string {
  const bearer = authorization === undefined ? undefined : /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (authorization !== undefined && bearer === undefined)
    throw unauthenticated("the Authorization header is not Bearer and a key");
  const key = bearer ?? api_key;
  if (!key) throw unauthenticated("give an API key: Authorization: Bearer <key>, or x-api-key: <key>");
  if (key.length > key_length_max)
    throw unauthenticated(`the API key has ${key.length} characters, above the limit of ${key_length_max}`);
  return key;
}

function unauthenticated(detail: string): Problem {
  return new Problem("unauthenticated", detail, [], { "www-authenticate": 'Bearer realm="assay"' });
}
