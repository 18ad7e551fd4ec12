/**
 * What `assay up` asks the coordinator for at each start: its rule packages, the application `this-host`, the report API's key, and the
 * assessment that this start is for. Whatever stands already in control as it should be is not asked for again.
 *
 * On Kafka other hosts do the same: there the names end in the host's id.
 */
import { isDeepStrictEqual } from "node:util";
import { ask } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import type { Application, AssessmentState, Template } from "@assay/control/entities";
import type { ControlView } from "@assay/control/follow";
import type { Logger } from "@assay/runtime/logger";
import type { Codec } from "@assay/schemas/codec";
import type { Log } from "@assay/stream/log";
import type { ServicesPlan } from "./messages";
import { rulePackages } from "./rule-packages";

interface Names {
  readonly application_id: string;
  readonly template_id: string;
  readonly key_id: string;
  /** Of an assessment that runs once. */
  readonly once_suffix: string;
}

const short_id_length = 8;

function namesOf({ host_id, shares_log, assessment }: ServicesPlan): Names {
  const suffix = shares_log ? `-${host_id}` : "";
  return {
    application_id: `this-host${suffix}`,
    template_id: `this-host-continuous${suffix}`,
    // One assessment must not take its key away from what watches the same host continuously.
    key_id: shares_log && assessment.kind === "once" ? `once${suffix}` : `local${suffix}`,
    once_suffix: suffix.slice(0, 1 + short_id_length),
  };
}

const asked_by = "assay";

/** Returns the id of the assessment that runs. */
export async function bootstrap(
  plan: ServicesPlan,
  log: Log,
  codec: Codec,
  control: ControlView,
  logger: Logger,
): Promise<string> {
  const request = async (body: CommandBody) => {
    const answer = await ask(log, codec, control, body, asked_by);
    if (answer.result === "rejected") throw new Error(`${body.type} was refused: ${answer.reason}, ${answer.detail}`);
  };
  for (const { name, version, digest, files } of (await rulePackages(plan.rules_directory)).packages) {
    if (control.latest("package", name)?.value.digest === digest) continue;
    await request({ type: "activate_package", package: { name, version, digest, files: [...files] } });
    logger.info({ package: name, version, digest }, "rule package activated");
  }
  const names = namesOf(plan);
  await putKey(plan, names, control, request);
  await putApplication(plan, names, control, request);
  return plan.assessment.kind === "continuous"
    ? continueAssessment(names, control, request)
    : startOnce(plan.assessment, names, control, request);
}

type Request = (body: CommandBody) => Promise<void>;

async function putKey(plan: ServicesPlan, { key_id }: Names, control: ControlView, request: Request): Promise<void> {
  const known = control.latest("key", key_id);
  if (known?.value.key_sha256 === plan.api_key_sha256 && !known.value.revoked) return;
  await request({
    type: "put_key",
    id: key_id,
    expected_version: known?.version ?? 0,
    key: { name: "this machine's", role: "admin", key_sha256: plan.api_key_sha256, revoked: false },
  });
}

async function putApplication(
  plan: ServicesPlan,
  { application_id }: Names,
  control: ControlView,
  request: Request,
): Promise<void> {
  const application: Application = { name: "This host", selector: { tag: "host", in: [plan.host_id] }, tiers: [] };
  const known = control.latest("application", application_id);
  // One that an operator has changed stays as it is.
  if (known) return;
  await request({ type: "put_application", id: application_id, expected_version: 0, application });
}

async function putTemplate(id: string, template: Template, control: ControlView, request: Request): Promise<void> {
  const known = control.latest("template", id);
  if (known && isDeepStrictEqual(known.value, template)) return;
  await request({ type: "put_template", id, expected_version: known?.version ?? 0, template });
}

const running: readonly AssessmentState[] = ["scheduled", "pending", "collecting", "collected", "evaluating"];

async function continueAssessment(
  { application_id, template_id }: Names,
  control: ControlView,
  request: Request,
): Promise<string> {
  const template: Template = { name: "This host, continuously", application_id, packages: [], duration_ms: "continuous" };
  if (!control.latest("template", template_id)) await putTemplate(template_id, template, control, request);
  const own = control.all("assessment").filter((a) => a.value.template_id === template_id);
  const current = own.find((a) => running.includes(a.value.state) && a.value.ends_at === null);
  if (current) return current.id;
  const id = `${template_id}-${own.length + 1}`;
  await request({ type: "start_assessment", id, template_id });
  return id;
}

async function startOnce(
  plan: Extract<ServicesPlan["assessment"], { kind: "once" }>,
  { application_id, once_suffix }: Names,
  control: ControlView,
  request: Request,
): Promise<string> {
  const { packages, duration_ms } = plan;
  const id = `${plan.id}${once_suffix}`;
  const template: Template = { name: "This host, once", application_id, packages: [...packages], duration_ms };
  await putTemplate(id, template, control, request);
  // Asking twice, after a restart, starts one.
  await request({ type: "start_assessment", id, template_id: id });
  return id;
}
