/**
 * What a command leads to: control records, the answer last. Pure: control as it stands, the command, and when it is
 * decided, which may be minutes after it was asked: what it makes must be there before it holds.
 * Only the coordinator applies commands, one after the other, so of two writers with the same expected version one is refused.
 */
import { type CommandBody, commandSchema } from "@assay/control/commands";
import type { Answer, Assessment, EntityKind, EntityTypes } from "@assay/control/entities";
import type { ControlView, Versioned } from "@assay/control/follow";
import type { Command, ControlRecord } from "@assay/schemas/generated/types";
import { effectiveEdge, nextEdge } from "./edges";
import { isOver, moved } from "./life-cycle";

export type ControlReader = Pick<ControlView, "latest" | "all" | "answerTo" | "madeBy">;

type Refusal = Extract<Answer, { result: "rejected" }>;
interface Put<K extends EntityKind = EntityKind> {
  readonly kind: K;
  readonly id: string;
  readonly value: EntityTypes[K];
  readonly effective_from: number;
}

export function decide(control: ControlReader, command: Command, decided_at: number, window_ms: number): ControlRecord[] {
  if (control.answerTo(command.command_id)) return []; // carried out before a restart
  const record = (kind: string, id: string, version: number, effective_from: number, body: unknown): ControlRecord => ({
    kind,
    id,
    version,
    at: decided_at,
    effective_from,
    command_id: command.command_id,
    body: JSON.stringify(body),
  });
  const answer = (body: Answer) => record("answer", command.command_id, 1, decided_at, body);

  const made = control.madeBy(command.command_id);
  if (made) return [answer({ result: "accepted", ...made })];
  const parsed = parseCommand(command);
  if ("result" in parsed) return [answer(parsed)];
  const decision = put(control, parsed, decided_at, window_ms);
  if ("result" in decision) return [answer(decision)];
  const version = control.latest(decision.kind, decision.id)?.version ?? 0;
  if ("unchanged" in decision) return [answer({ result: "accepted", kind: decision.kind, id: decision.id, version })];
  return [
    record(decision.kind, decision.id, version + 1, decision.effective_from, decision.value),
    answer({ result: "accepted", kind: decision.kind, id: decision.id, version: version + 1 }),
  ];
}

function parseCommand(command: Command): CommandBody | Refusal {
  let body: unknown;
  try {
    body = JSON.parse(command.body);
  } catch (error) {
    return refused("invalid", `the body of ${command.type} isn't JSON: ${(error as Error).message}`);
  }
  const parsed = commandSchema.safeParse({ ...(body as object), type: command.type });
  if (parsed.success) return parsed.data;
  return refused("invalid", parsed.error.issues.map((i) => `${i.path.join(".") || command.type}: ${i.message}`).join("; "));
}

function put(
  control: ControlReader,
  command: CommandBody,
  decided_at: number,
  window_ms: number,
): Put | Refusal | { unchanged: true; kind: EntityKind; id: string } {
  const edge = effectiveEdge(decided_at, window_ms);
  switch (command.type) {
    case "put_application":
      return (
        versionConflict(control, "application", command) ?? {
          kind: "application",
          id: command.id,
          value: command.application,
          effective_from: edge,
        }
      );
    case "put_host_tags":
      return (
        versionConflict(control, "host", command) ?? { kind: "host", id: command.id, value: command.host, effective_from: edge }
      );
    case "put_template":
      if (!control.latest("application", command.template.application_id)) {
        return refused("not_found", `no application ${command.template.application_id}`);
      }
      return (
        versionConflict(control, "template", command) ?? {
          kind: "template",
          id: command.id,
          value: command.template,
          effective_from: edge,
        }
      );
    case "put_key":
      return (
        versionConflict(control, "key", command) ?? {
          kind: "key",
          id: command.id,
          value: command.key,
          effective_from: decided_at,
        }
      );
    case "enrol_agent":
      return { kind: "agent", id: command.agent.host_id, value: command.agent, effective_from: decided_at };
    case "activate_package": {
      const { name, digest } = command.package;
      if (control.latest("package", name)?.value.digest === digest) return { unchanged: true, kind: "package", id: name };
      return { kind: "package", id: name, value: command.package, effective_from: edge };
    }
    case "start_assessment":
      return startAssessment(control, command, decided_at, edge, window_ms);
    case "stop_assessment":
      return stopAssessment(control, command, decided_at, edge, window_ms);
  }
}

function startAssessment(
  control: ControlReader,
  command: Extract<CommandBody, { type: "start_assessment" }>,
  decided_at: number,
  begins_at: number,
  window_ms: number,
): Put | Refusal | { unchanged: true; kind: EntityKind; id: string } {
  const started = control.latest("assessment", command.id);
  if (started?.value.template_id === command.template_id) return { unchanged: true, kind: "assessment", id: command.id };
  if (started) return refused("version_conflict", `assessment ${command.id} exists, of template ${started.value.template_id}`);
  const template = control.latest("template", command.template_id);
  if (!template) return refused("not_found", `no template ${command.template_id}`);
  const { application_id, packages, duration_ms } = template.value;
  const value: Assessment = {
    template_id: template.id,
    application_id,
    packages,
    state: "pending",
    begins_at,
    ends_at: duration_ms === "continuous" ? null : begins_at + nextEdge(duration_ms, window_ms),
    history: [{ state: "pending", at: decided_at, reason: "started by command" }],
    exclusions: [],
  };
  return { kind: "assessment", id: command.id, value, effective_from: begins_at };
}

/** The window before the new end must know of it, so the end is one window further than the edge. */
function stopAssessment(
  control: ControlReader,
  command: Extract<CommandBody, { type: "stop_assessment" }>,
  decided_at: number,
  edge: number,
  window_ms: number,
): Put | Refusal {
  const assessment: Versioned<Assessment> | undefined = control.latest("assessment", command.id);
  if (!assessment) return refused("not_found", `no assessment ${command.id}`);
  const { value } = assessment;
  if (isOver(value.state)) return refused("not_allowed_in_state", `assessment ${command.id} is ${value.state}`);
  if (!command.evaluate) {
    return {
      kind: "assessment",
      id: command.id,
      value: moved(value, "cancelled", decided_at, "cancelled by command"),
      effective_from: edge,
    };
  }
  const ends_at = Math.min(value.ends_at ?? Number.MAX_SAFE_INTEGER, Math.max(edge, value.begins_at) + window_ms);
  const history = [...value.history, { state: value.state, at: decided_at, reason: "to end early, by command" }];
  return {
    kind: "assessment",
    id: command.id,
    value: { ...value, ends_at, history },
    effective_from: Math.min(edge, ends_at - window_ms),
  };
}

function versionConflict(
  control: ControlReader,
  kind: EntityKind,
  command: { id: string; expected_version: number },
): Refusal | undefined {
  const version = control.latest(kind, command.id)?.version ?? 0;
  if (version === command.expected_version) return undefined;
  return refused("version_conflict", `${kind} ${command.id} is at version ${version}, not ${command.expected_version}`);
}

function refused(reason: Refusal["reason"], detail: string): Refusal {
  return { result: "rejected", reason, detail };
}
