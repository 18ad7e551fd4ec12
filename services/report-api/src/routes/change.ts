/** Changes: which version the caller saw, and what the coordinator's answer means over HTTP. */
import { NoAnswerError } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import type { EntityKind, EntityTypes } from "@assay/control/entities";
import type { Versioned } from "@assay/control/follow";
import type { Control } from "../control";
import { Problem, type ProblemCode } from "../http/problem";
import type { Caller } from "../http/route";
import { UnavailableError } from "../unavailable";

/** From If-Match ("3" or 3) or the body; both must agree where both are given. */
export function expectedVersion(if_match: string | undefined, in_body: number | undefined): number {
  const in_header = if_match === undefined ? undefined : headerVersion(if_match);
  if (in_header !== undefined && in_body !== undefined && in_header !== in_body) {
    throw new Problem("invalid_request", `If-Match says version ${in_header}, expected_version says ${in_body}`);
  }
  const expected = in_header ?? in_body;
  if (expected === undefined) {
    throw new Problem("version_required", "tell the version that you saw, as If-Match or as expected_version; 0 creates");
  }
  return expected;
}

export function versionTag(version: number): Record<string, string> {
  return { etag: `"${version}"` };
}

/** The entity as it stands after the coordinator has accepted. Throws a Problem where it refused or didn't answer. */
export async function change<K extends EntityKind>(
  control: Control,
  kind: K,
  id: string,
  body: CommandBody,
  caller: Caller | undefined,
): Promise<Versioned<EntityTypes[K]>> {
  const answer = await control.ask(body, caller?.name ?? "").catch((cause: unknown) => {
    const said = cause instanceof NoAnswerError ? cause.message : "it could not be asked";
    throw new UnavailableError(`the coordinator did not take this: ${said}`, { cause });
  });
  if (answer.result === "rejected") throw new Problem(refusals[answer.reason], answer.detail);
  await control.view.refresh();
  const changed = control.view.latest(kind, id);
  if (!changed || changed.version < answer.version) {
    throw new Problem("unavailable", `version ${answer.version} of ${kind} ${id} was accepted, but can't be read yet`);
  }
  return changed;
}

const refusals = {
  invalid: "refused",
  not_found: "not_found",
  version_conflict: "version_conflict",
  not_allowed_in_state: "not_allowed_in_state",
} as const satisfies Record<string, ProblemCode>;

export const changeProblems: readonly ProblemCode[] = ["refused", "not_found", "version_conflict", "not_allowed_in_state"];

function headerVersion(if_match: string): number {
  const digits = /^(?:W\/)?"(\d{1,15})"$|^(\d{1,15})$/.exec(if_match.trim());
  const version = digits?.[1] ?? digits?.[2];
  if (version !== undefined) return Number(version);
  const detail = `is ${JSON.stringify(if_match.slice(0, 60))}, not a version such as "3"`;
  throw new Problem("invalid_request", `If-Match ${detail}`, [{ in: "header", name: "If-Match", detail }]);
}
