/** Hosts that deliver telemetry with events that rules have to match, and what must have come of it in the end. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AuditReport } from "@assay/cli/audit/table";
import { differences, expectedFindings, foundFindings, type Occurrences } from "@assay/cli/scenarios/expected-findings";
import { until } from "@assay/cli/scenarios/running-assay";
import { createApplication } from "@assay/cli/scenarios/scenario-api";
import { seeded } from "@assay/cli/scenarios/seeded";
import { type Delivered, markedRules, SyntheticHost } from "@assay/cli/scenarios/synthetic-host";
import { Codec, folderIds } from "@assay/schemas/codec";
import { type FaultFleet, lateness_ms, window_ms } from "./fault-fleet";

const batch_wait_default_ms = 500;
const events_per_batch = 120;
const settle_wait_ms = 60_000;
/** What would be too much may come late: a flush and a session later. */
const late_wait_ms = 3_000;
const hosts_default = 6;

export interface LoadOptions {
  readonly hosts?: number;
  readonly batch_wait_ms?: number;
}
let addresses = 0;

export class Load {
  private stopping = new AbortController();
  private delivering: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly fleet: FaultFleet,
    readonly hosts: ReadonlyMap<string, SyntheticHost>,
    private readonly batch_wait_ms: number,
  ) {}

  /** Hosts of a new application, which is in force. */
  static async prepare(fleet: FaultFleet, name: string, options: LoadOptions = {}): Promise<Load> {
    const { hosts: count = hosts_default, batch_wait_ms = batch_wait_default_ms } = options;
    const codec = new Codec(folderIds());
    const gone = fleet.closing.signal;
    const { ingest_url, enrol_secret } = fleet.services;
    const hosts = new Map<string, SyntheticHost>();
    for (let i = 0; i < count; i++) {
      const host_id = `${name}-${i}`;
      const address = `10.0.${Math.floor(addresses / 250)}.${1 + (addresses++ % 250)}`;
      const plan = { host_id, address, codec, ingest_url, enrol_secret, batch_wait_ms, events_per_batch, gone };
      hosts.set(host_id, new SyntheticHost({ ...plan, random: seeded(1_000 + addresses) }));
    }
    const in_force_from = await createApplication(fleet.services, name, [...hosts.keys()]);
    await sleep(Math.max(0, in_force_from - Date.now()));
    return new Load(fleet, hosts, batch_wait_ms);
  }

  begin(): void {
    // A second time: as agents that were started again.
    this.stopping = new AbortController();
    this.delivering = Promise.all([...this.hosts.values()].map((host) => host.run(this.stopping.signal)));
    this.delivering.catch(() => undefined); // awaited by end
  }

  /** Resolves when all is delivered, and the hosts have told that nothing follows. */
  async end(): Promise<ReadonlyMap<string, Delivered>> {
    this.stopping.abort();
    await this.delivering;
    await sleep(window_ms + lateness_ms + this.batch_wait_ms);
    await Promise.all([...this.hosts.values()].map((host) => host.finish()));
    return this.delivered();
  }

  /** As of now. */
  delivered(): ReadonlyMap<string, Delivered> {
    return new Map([...this.hosts].map(([host_id, host]) => [host_id, host.delivered()]));
  }

  /** What an undisturbed run would have found is found, and everything is accounted for. */
  async endAndCheck(): Promise<AuditReport> {
    const delivered = await this.end();
    await checkFindings(this.fleet, delivered);
    return checkAccount(this.fleet, delivered);
  }
}

/** Findings as the API has them, their activity, and the view behind that: each has every marked event once. */
export async function checkFindings(fleet: FaultFleet, delivered: ReadonlyMap<string, Delivered>): Promise<void> {
  const expected = expectedFindings(delivered);
  expect(expected.size).toBeGreaterThan(0);
  const found = () => foundFindings(fleet.services, delivered);
  const isComplete = async () => differences(expected, await found()).every((d) => d.found > d.expected);
  await until(settle_wait_ms, "", isComplete).catch(() => undefined); // told below
  await sleep(late_wait_ms);
  expect(differences(expected, await found())).toEqual([]);
  for (const table of ["finding_activity", "finding_activity_hourly"]) {
    expect({ table, wrong: differences(expected, await recordedIn(fleet, table, delivered)) }).toEqual({ table, wrong: [] });
  }
}

async function recordedIn(fleet: FaultFleet, table: string, of: ReadonlyMap<string, Delivered>): Promise<Occurrences> {
  const rows = await fleet.store.query<{ host_id: string; rule_id: string; occurrences: number }>(
    `SELECT host_id, rule_id, sum(occurrences) AS occurrences FROM assay.${table}
     WHERE has({hosts: Array(String)}, host_id) AND has({rules: Array(String)}, rule_id) GROUP BY host_id, rule_id`,
    { hosts: [...of.keys()], rules: Object.values(markedRules) },
  );
  return new Map(rows.map(({ host_id, rule_id, occurrences }) => [`${host_id} ${rule_id}`, occurrences]));
}

/** `assay audit` of everything adds up, and what these hosts delivered is accounted for and no longer on its way. */
export async function checkAccount(fleet: FaultFleet, delivered: ReadonlyMap<string, Delivered>): Promise<AuditReport> {
  let report = await fleet.services.audit();
  const rows = () => report.rows.filter((row) => delivered.has(row.host_id));
  const sum = (of: (row: AuditReport["rows"][number]) => number) => rows().reduce((all, row) => all + of(row), 0);
  const isSettled = async () => {
    if (sum((row) => row.pending) === 0) return true;
    report = await fleet.services.audit();
    return false;
  };
  await until(settle_wait_ms, "", isSettled).catch(() => undefined); // told below
  const counts = [...delivered.values()].map((d) => d.events);
  const events = counts.reduce((all, { processes, connections, listeners }) => all + processes + connections + listeners, 0);
  expect({
    problems: report.problems,
    accepted_once: sum((row) => row.accepted - row.duplicates - row.dead_lettered),
    pending: sum((row) => row.pending),
  }).toEqual({ problems: [], accepted_once: events, pending: 0 });
  return report;
}
