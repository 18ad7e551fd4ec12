/** `assay up`: an embedded Assay that watches this machine until Ctrl-C, with a live line that says what it sees. */
import { hostname } from "node:os";
import type { Finding } from "@assay/report-api/schemas/finding";
import { withDefaults } from "../distributed/defaults";
import { dataDirectory } from "../embedded/data-directory";
import { type Embedded, InterruptedError, startEmbedded } from "../embedded/embedded";
import { readEmbeddedSettings } from "../embedded/settings";
import { settingsProblems } from "../embedded/settings-groups";
import { interrupt } from "../interrupt";
import { exitCodes, type Io } from "../io";
import { type ApiClient, apiClient } from "../progress/api-client";
import { type LiveLine, liveLine } from "../progress/live-line";
import { findingLine, statusLine, whyLine } from "../progress/status-line";

export interface UpArguments {
  readonly data?: string;
  readonly port?: number;
}

const status_wait_ms = 1_000;
const findings_shown_max = 20;

export async function up(options: UpArguments, given: Io): Promise<number> {
  const io = { ...given, env: withDefaults(given.env) };
  const settings = readEmbeddedSettings(io.env, settingsProblems(io.env));
  const data = dataDirectory(options.data, io);
  const line = liveLine(io.stdout);
  let running: Embedded | undefined;
  const ctrlC = interrupt(
    io,
    () => line.set("stopping: the agent, then the services (Ctrl-C again ends at once)"),
    () => {
      running?.killNow();
      process.exit(exitCodes.interrupted);
    },
  );
  try {
    line.write(`Assay starts with the data in ${data.root}`);
    running = await startEmbedded({
      io,
      settings,
      data,
      ports: {
        report_api: options.port ?? settings.report_api_port,
        ingest: settings.ingest_port,
        metrics: settings.metrics_port,
      },
      assessment: { kind: "continuous" },
      onNotice: (text) => line.write(text),
      signal: ctrlC.signal,
    });
    line.write(...introduction(running, data.key_file, data.logs));
    line.set(`${hostname()} · waiting for the first window`);
    const watching = watch(running, line, ctrlC.signal);
    await Promise.race([ctrlC.asked, running.failed, watching.then(() => ctrlC.asked)]);
    await running.stop();
    line.set("");
    line.write("Assay has stopped. The same command goes on with the same data.");
    return exitCodes.ok;
  } catch (error) {
    await running?.stop();
    if (error instanceof InterruptedError) return exitCodes.interrupted;
    throw error;
  } finally {
    line.close();
    ctrlC.close();
  }
}

function introduction(running: Embedded, key_file: string, logs: string): string[] {
  return [
    "",
    `  report API   ${running.report_api_url}   (described at /openapi.json)`,
    `  API key      in ${key_file}`,
    `  metrics      ${running.metrics_url}/metrics   (/live, /ready)`,
    `  logs         ${logs}`,
    `  assessment   ${running.assessment_id}, of this host, continuously`,
    "",
    `  details      curl -H "Authorization: Bearer $(cat ${key_file})" ${running.report_api_url}/api/v1/findings`,
    "  report       npx assay assess, for all of it with reasons, evidence and remedies",
    "  stop         Ctrl-C",
    "",
  ];
}

/** Resolves after the interrupt. An API that doesn't answer for a while is no reason to end: the services may be restarting. */
async function watch(running: Embedded, line: LiveLine, signal: AbortSignal): Promise<void> {
  const api = apiClient(running.report_api_url, running.api_key);
  const name = hostname();
  let shown = 0;
  const known = new Set<string>();
  while (!signal.aborted) {
    const trouble = running.trouble();
    if (trouble !== undefined) {
      line.set(`${name} · ${trouble}`);
      await pause(status_wait_ms, signal);
      continue;
    }
    try {
      const status = await api.status();
      if (signal.aborted) return;
      line.set(statusLine(name, status));
      const active = Object.values(status.findings.active).reduce((sum, n) => sum + n, 0);
      if (active > 0 && shown < findings_shown_max) {
        const fresh = (await api.findings(findings_shown_max)).filter((finding) => !known.has(finding.id));
        shown += await show(fresh.slice(0, findings_shown_max - shown), known, api, line);
        if (shown >= findings_shown_max) line.write("  … further findings are counted below and stand in the report API");
      }
    } catch {
      if (signal.aborted) return;
      line.set(`${name} · the report API does not answer, asking again`);
    }
    await pause(status_wait_ms, signal);
  }
}

/** A rule's reason stands under the first of its findings. */
async function show(fresh: readonly Finding[], known: Set<string>, api: ApiClient, line: LiveLine): Promise<number> {
  const explained = new Set<string>();
  for (const finding of fresh) {
    const why = explained.has(finding.rule_id) ? [] : [whyLine(await api.ruleDescription(finding.rule_id))];
    explained.add(finding.rule_id);
    known.add(finding.id);
    line.write(findingLine(finding), ...why);
  }
  return fresh.length;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
