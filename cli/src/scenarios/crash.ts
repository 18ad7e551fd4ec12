/**
 * Kills at random moments under load: supervisor, services, engine and agent by SIGKILL, in an order that a seed repeats, while
 * synthetic hosts deliver telemetry. Afterwards everything that was delivered must be accounted for, once, and every finding that the
 * events call for must stand with exactly as many occurrences as there were events.
 *
 *   node cli/scenarios/crash.mjs [--kills 8] [--seed 1] [--hosts 24] [--events 100] [--data DIR]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Finding } from "@assay/report-api/schemas/finding";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { AuditReport } from "../audit/table";
import { apiClient } from "../progress/api-client";
import { formatCount } from "../report/columns";
import { LoopDelays } from "./loop-delays";
import { freePorts, isRunning, processNames, RunningAssay, until } from "./running-assay";
import { seeded } from "./seeded";
import { markedRules, SyntheticHost } from "./synthetic-host";

const ready_wait_ms = 90_000;
const rules_wait_ms = 60_000;
const batch_wait_ms = 1_000;
const kill_pause_min_ms = 2_000;
const kill_pause_max_ms = 7_000;
const settle_wait_ms = 120_000;
/** Windows are 10 s, lateness 2 s: past this, empty batches close the windows before them. */
const closing_wait_ms = 13_000;

export async function crashScenario(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kills: { type: "string", default: "8" },
      seed: { type: "string", default: "1" },
      hosts: { type: "string", default: "24" },
      events: { type: "string", default: "100" },
      data: { type: "string" },
    },
  });
  const kills = Number(values.kills);
  const random = seeded(Number(values.seed));
  const data = values.data ?? mkdtempSync(join(tmpdir(), "assay-crash-"));
  const assay = new RunningAssay(data, await freePorts());
  const failures: string[] = [];
  const expect = (what: string, right: boolean) => {
    print(`${right ? "ok     " : "NOT OK "} ${what}`);
    if (!right) failures.push(what);
  };
  try {
    print(
      `seed ${values.seed}, ${kills} kills, ${values.hosts} synthetic hosts with ${values.events} events a second each, data in ${data}`,
    );
    assay.start();
    await assay.ready(ready_wait_ms);
    const client = apiClient(assay.report_api_url, assay.key());
    await until(
      rules_wait_ms,
      "the rule packages were not in force",
      async () => (await client.status()).windows.closed > 0 && (await rulesInForce(assay)),
    );

    const codec = new Codec(folderIds());
    const hosts = Array.from({ length: Number(values.hosts) }, (_, i) => {
      const host_id = `synthetic-${values.seed}-${i}`;
      const plan = {
        host_id,
        random: seeded(random.between(0, 2 ** 31)),
        codec,
        batch_wait_ms,
        events_per_batch: Number(values.events),
      };
      return new SyntheticHost({ ...plan, ingest_url: assay.ingest_url, enrol_secret: assay.enrolSecret() });
    });
    const stopping = new AbortController();
    const delays = new LoopDelays(assay.metrics_url);
    const load = Promise.all(hosts.map((host) => host.run(stopping.signal)));
    load.catch(() => undefined); // awaited below
    for (let i = 1; i <= kills; i++) {
      await sleep(random.between(kill_pause_min_ms, kill_pause_max_ms));
      const name = random.pick(processNames);
      const killed = await assay.kill(name);
      print(`kill ${String(i).padStart(3)} of ${kills}: ${name}${killed ? "" : " (was not running)"}`);
      if (name === "supervisor") assay.start();
    }
    await assay.ready(ready_wait_ms);
    await delays.watchFor(steady_load_ms);
    stopping.abort();
    await load;
    await sleep(closing_wait_ms);
    await Promise.all(hosts.map((host) => host.finish()));

    const delivered = new Map(hosts.map((host, i) => [`synthetic-${values.seed}-${i}`, host.delivered()]));
    const expected = expectedFindings(delivered);
    let found = new Map<string, number>();
    await until(settle_wait_ms, "not every expected finding came", async () => {
      found = foundOf(await allFindings(assay), delivered);
      return [...expected].every(([id, count]) => (found.get(id) ?? 0) >= count);
    }).catch((error: Error) => print(error.message));
    await sleep(closing_wait_ms); // what would be too much comes late
    found = foundOf(await allFindings(assay), delivered);
    const wrong = [...new Set([...expected.keys(), ...found.keys()])].filter((id) => expected.get(id) !== found.get(id));
    for (const id of wrong.slice(0, 20))
      print(`        ${id}: ${expected.get(id) ?? 0} events delivered, ${found.get(id) ?? 0} occurrences found`);
    expect(
      `${formatCount(expected.size)} findings stand with as many occurrences as events were delivered, none lost, none doubled`,
      wrong.length === 0,
    );

    const pids = assay.pids();
    const code = await assay.stop();
    expect(`assay up stopped with exit code 0 (${code})`, code === 0);
    expect(
      "no process was left",
      pids.every((pid) => !isRunning(pid)),
    );

    const report = auditOf(data);
    const rows = report.rows.filter((row) => delivered.has(row.host_id));
    const sum = (pick: (row: AuditReport["rows"][number]) => number) => rows.reduce((total, row) => total + pick(row), 0);
    const events = [...delivered.values()].reduce(
      (total, d) => total + d.events.processes + d.events.connections + d.events.listeners,
      0,
    );
    const attempts = [...delivered.values()].reduce((total, d) => total + d.attempts, 0);
    const batches = [...delivered.values()].reduce((total, d) => total + d.batches, 0);
    print(
      `${formatCount(events)} events in ${formatCount(batches)} batches delivered by ${formatCount(attempts)} attempts; ${formatCount(sum((r) => r.duplicates))} events arrived twice`,
    );
    for (const problem of report.problems.slice(0, 20)) print(`        ${problem}`);
    expect("the audit adds up, for every host and kind", report.problems.length === 0);
    expect("accepted without repeats is what the hosts delivered", sum((r) => r.accepted - r.duplicates) === events);
    expect("nothing is pending any more", sum((r) => r.pending) === 0);

    for (const [service, p99_ms] of delays.p99_ms()) {
      expect(
        `event loop of ${service}: p99 ${p99_ms.toFixed(1)} ms, below ${loop_delay_p99_max_ms} ms, under ${formatCount(Number(values.hosts) * Number(values.events))} events a second`,
        p99_ms < loop_delay_p99_max_ms,
      );
    }
  } catch (error) {
    expect(error instanceof Error ? error.message : String(error), false);
    print(assay.output());
  } finally {
    for (const pid of assay.pids()) process.kill(pid, "SIGKILL");
    if (failures.length === 0 && values.data === undefined) rmSync(data, { recursive: true, force: true });
    else print(`the data stay in ${data}`);
  }
  print(failures.length === 0 ? "crash scenario: passed" : `crash scenario: ${failures.length} FAILED`);
  return failures.length === 0 ? 0 : 1;
}

/** Without kills, to measure what a start doesn't disturb. */
const steady_load_ms = 25_000;
const loop_delay_p99_max_ms = 50;

function expectedFindings(
  delivered: ReadonlyMap<string, { readonly marked: Readonly<Record<string, number>> }>,
): Map<string, number> {
  const expected = new Map<string, number>();
  for (const [host_id, { marked }] of delivered) {
    for (const [rule, count] of Object.entries(marked)) expected.set(`${host_id} ${rule}`, count);
  }
  return expected;
}

/** Occurrences by host and rule, of the rules that events are made for. */
function foundOf(findings: readonly Finding[], delivered: ReadonlyMap<string, unknown>): Map<string, number> {
  const rules: readonly string[] = Object.values(markedRules);
  const found = new Map<string, number>();
  for (const finding of findings) {
    if (!delivered.has(finding.host_id) || !rules.includes(finding.rule_id)) continue;
    const id = `${finding.host_id} ${finding.rule_id}`;
    found.set(id, (found.get(id) ?? 0) + finding.occurrences);
  }
  return found;
}

async function allFindings(assay: RunningAssay): Promise<Finding[]> {
  const all: Finding[] = [];
  let cursor = "";
  do {
    const page = await get<{ items: Finding[]; next_cursor: string | null }>(assay, `/api/v1/findings?limit=100${cursor}`);
    all.push(...page.items);
    cursor = page.next_cursor === null ? "" : `&cursor=${encodeURIComponent(page.next_cursor)}`;
  } while (cursor !== "");
  return all;
}

async function rulesInForce(assay: RunningAssay): Promise<boolean> {
  const { items } = await get<{ items: { id: string }[] }>(assay, "/api/v1/rules?limit=100");
  const ids = new Set(items.map((rule) => rule.id));
  return Object.values(markedRules).every((rule) => ids.has(rule));
}

async function get<T>(assay: RunningAssay, path: string): Promise<T> {
  const response = await fetch(assay.report_api_url + path, { headers: { authorization: `Bearer ${assay.key()}` } });
  if (!response.ok) throw new Error(`${path} was answered with ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

function auditOf(data: string): AuditReport {
  const program = join(__dirname, "../../bin/assay.js");
  const audit = spawnSync(process.execPath, [program, "audit", "--data", data, "--format", "json"], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (audit.stdout === "") throw new Error(`assay audit failed: ${audit.stderr}`);
  return JSON.parse(audit.stdout) as AuditReport;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
