/**
 * `assay assess`: one assessment of this machine, by the same processes that `assay up` runs, on free ports, with data that is thrown
 * away afterwards unless --data says where it stays.
 *
 * The report goes to standard output (or --output), everything else to standard error.
 */
import { accessSync, constants, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AssessmentDetail } from "@assay/report-api/schemas/assessment";
import { type Severity, severities } from "@assay/rules/rule";
import { withDefaults } from "../distributed/defaults";
import { rulesDirectory } from "../embedded/code-paths";
import { dataDirectory } from "../embedded/data-directory";
import { type Embedded, InterruptedError, startEmbedded } from "../embedded/embedded";
import { type RulePackages, rulePackages } from "../embedded/rule-packages";
import { type EmbeddedSettings, readEmbeddedSettings } from "../embedded/settings";
import { settingsProblems } from "../embedded/settings-groups";
import { interrupt } from "../interrupt";
import { exitCodes, type Io, UserError } from "../io";
import { type ApiClient, ApiError, apiClient } from "../progress/api-client";
import { type Phase, progressText } from "../progress/bar";
import { liveLine } from "../progress/live-line";
import { type AssessReport, assessReport } from "../report/assessment-report";
import { formatCount } from "../report/columns";
import { reportTable } from "../report/table";

export interface AssessArguments {
  readonly duration: number;
  readonly packages?: readonly string[];
  readonly format: "table" | "json";
  readonly output?: string;
  readonly failOn?: Severity;
  readonly data?: string;
}

export async function assess(options: AssessArguments, given: Io): Promise<number> {
  const io = { ...given, env: withDefaults(given.env) };
  let settings: EmbeddedSettings;
  let rules: RulePackages;
  try {
    settings = readEmbeddedSettings(io.env, settingsProblems(io.env));
    rules = await rulePackages(settings.rules_directory ?? rulesDirectory);
    checkPackages(options.packages ?? [], rules);
    if (options.output !== undefined) checkOutput(resolve(options.output));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    io.stderr.write(`assay: ${error.message}\n`);
    return exitCodes.usage;
  }
  const temporary = options.data === undefined ? mkdtempSync(join(tmpdir(), "assay-")) : undefined;
  try {
    const report = await runAssessment(options, io, settings, temporary);
    if (!report) return exitCodes.interrupted;
    deliver(report, options, rules, io);
    return options.failOn !== undefined && meets(report, options.failOn) ? exitCodes.failed : exitCodes.ok;
  } catch (error) {
    io.stderr.write(`assay: could not assess: ${error instanceof UserError ? error.message : String(error)}\n`);
    return exitCodes.not_assessed;
  } finally {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
  }
}

function checkPackages(names: readonly string[], { packages }: RulePackages): void {
  const known = packages.map((p) => p.name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  throw new UserError(
    `there ${unknown.length === 1 ? "is no rule package" : "are no rule packages"} named ${unknown.join(", ")} (--packages); there are ${known.join(", ")}`,
  );
}

/** Said now, and not after an hour of watching. */
function checkOutput(file: string): void {
  try {
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
    if (existsSync(file) && statSync(file).isDirectory()) throw new Error("it is a directory");
  } catch (error) {
    throw new UserError(`can't write the report to ${file}: ${(error as Error).message} (--output)`);
  }
}

/** undefined when it was interrupted. */
async function runAssessment(
  options: AssessArguments,
  io: Io,
  settings: EmbeddedSettings,
  temporary: string | undefined,
): Promise<AssessReport | undefined> {
  const line = liveLine(io.stderr);
  let running: Embedded | undefined;
  const ctrlC = interrupt(
    io,
    () => line.set("interrupted: stopping (Ctrl-C again ends at once)"),
    () => {
      running?.killNow();
      if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
      process.exit(exitCodes.interrupted);
    },
  );
  try {
    const show = (phase: Phase) => {
      if (!ctrlC.signal.aborted) line.set(progressText(phase, Date.now()));
    };
    show({ kind: "starting", what: "" });
    running = await startEmbedded({
      io,
      settings,
      data: dataDirectory(temporary ?? options.data, io),
      ports: { report_api: 0, ingest: 0, metrics: 0 },
      assessment: { kind: "once", id: assessmentId(Date.now()), packages: options.packages ?? [], duration_ms: options.duration },
      onNotice: (text) => (text.startsWith("warning:") ? line.write(text) : show({ kind: "starting", what: text })),
      signal: ctrlC.signal,
    });
    const api = apiClient(running.report_api_url, running.api_key);
    const { assessment_id, host_id } = running;
    const done = follow(api, assessment_id, show, ctrlC.signal);
    const state = await Promise.race([done, running.failed, ctrlC.asked.then(() => undefined)]);
    if (state === undefined) return undefined;
    if (state.state !== "completed" && state.state !== "completed_with_errors") {
      throw new UserError(`the assessment ended as ${state.state}: ${state.history.at(-1)?.reason ?? "no reason was given"}`);
    }
    const [report, host] = await Promise.all([api.report(assessment_id), api.host(host_id)]);
    return assessReport(report, host);
  } catch (error) {
    if (error instanceof InterruptedError) return undefined;
    throw error;
  } finally {
    if (!ctrlC.signal.aborted) line.set("stopping");
    await running?.stop();
    line.close();
    ctrlC.close();
  }
}

/** assess-20260520-080000: lower case, unique to the second, sorts by time. */
function assessmentId(now: number): string {
  const digits = new Date(now).toISOString().replace(/\D/g, "");
  return `assess-${digits.slice(0, 8)}-${digits.slice(8, 14)}`;
}

const poll_wait_ms = 500;
/** Past its end an assessment waits for a silent host at most a minute and a bit; then something is wrong. */
const evaluate_wait_ms_max = 300_000;

/** Resolves once the assessment is over; undefined after an interrupt. */
async function follow(
  api: ApiClient,
  id: string,
  show: (phase: Phase) => void,
  signal: AbortSignal,
): Promise<AssessmentDetail | undefined> {
  while (!signal.aborted) {
    const assessment = await api.assessment(id).catch(ignoreUnavailable);
    if (assessment && over.has(assessment.state)) return assessment;
    if (assessment) {
      const begins_at = Date.parse(assessment.begins_at);
      const ends_at = assessment.ends_at === null ? begins_at : Date.parse(assessment.ends_at);
      const now = Date.now();
      if (now < begins_at) show({ kind: "preparing", begins_at });
      else if (now < ends_at) show({ kind: "observing", begins_at, ends_at, seen: seen(assessment) });
      else show({ kind: "evaluating", since: ends_at });
      if (now > ends_at + evaluate_wait_ms_max)
        throw new UserError(`assessment ${id} was not evaluated within ${evaluate_wait_ms_max / 1_000} s of its end`);
    }
    await sleep(poll_wait_ms);
  }
  return undefined;
}

const over: ReadonlySet<string> = new Set(["completed", "completed_with_errors", "cancelled", "failed"]);

function seen({ summary }: AssessmentDetail): string {
  const findings = Object.values(summary.findings).reduce((sum, n) => sum + n, 0);
  return `, ${formatCount(findings)} ${findings === 1 ? "finding" : "findings"} so far`;
}

/** The API may be restarting, or not have heard of the assessment yet. */
function ignoreUnavailable(error: unknown): undefined {
  if (error instanceof ApiError && error.status < 500 && error.status !== 404) throw error;
  return undefined;
}

function deliver(report: AssessReport, options: AssessArguments, { rules }: RulePackages, io: Io): void {
  const rule_fields = new Map(rules.map((rule) => [rule.id, rule.fields]));
  const text =
    options.format === "json"
      ? `${JSON.stringify(report, null, 2)}\n`
      : reportTable(report, { width: io.stdout.columns(), as_root: io.uid === 0, rule_fields });
  if (options.output === undefined) {
    io.stdout.write(text);
    return;
  }
  const file = resolve(options.output);
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new UserError(`can't write the report to ${file}: ${(error as Error).message} (--output)`);
  }
  io.stderr.write(`wrote the report to ${file}\n`);
}

function meets(report: AssessReport, severity: Severity): boolean {
  const limit = severities.indexOf(severity);
  return report.findings.some((finding) => severities.indexOf(finding.severity) <= limit);
}
