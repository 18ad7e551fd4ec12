/**
 * The distributed mode as a whole: set up, every service its own process, two replicas of correlator and evaluator that come and go, the same
 * telemetry to an embedded Assay beside it. Their findings are the same, and the audit of each adds up.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AuditReport } from "@assay/cli/audit/table";
import { auditOf } from "@assay/cli/scenarios/final-checks";
import { RawHost } from "@assay/cli/scenarios/raw-host";
import { freePorts, RunningAssay, until } from "@assay/cli/scenarios/running-assay";
import { type ApiAccess, allFindings, createApplication } from "@assay/cli/scenarios/scenario-api";
import { seeded } from "@assay/cli/scenarios/seeded";
import { markedRules } from "@assay/cli/scenarios/synthetic-host";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { ProcessEvent } from "@assay/schemas/generated/types";
import { DistributedAssay, type Replica } from "./distributed-assay";

jest.setTimeout(600_000);

const enrol_secret = "the-secret-of-the-distributed-test";
/** Of a batch, as ingest is told. */
const events_max = 100;
/** The same windows for both, since a finding's times hang on them. */
const quick = {
  ASSAY_WINDOW_MS: "5000",
  ASSAY_LATENESS_MS: "1000",
  ASSAY_HOST_SILENT_AFTER_MS: "60000",
  ASSAY_EVALUATOR_FLUSH_WAIT_MS: "1000",
  ASSAY_ENROL_SECRET: enrol_secret,
};
const on_kafka = {
  ...quick,
  ASSAY_INGEST_EVENTS_MAX: String(events_max),
  ASSAY_KAFKA_PARTITIONS: "8",
  ASSAY_KAFKA_SESSION_MS: "6000",
};
const hosts_count = 6;
const batches_count = 40;
const batch_wait_ms = 500;
const events_per_batch = 30;

let root: string;
let assay: DistributedAssay;
let embedded: RunningAssay;
const replicas: Replica[] = [];
const codec = new Codec(folderIds());

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "assay-distributed-"));
  chmodSync(root, 0o711); // as root, the services run as another user, who has to pass
  assay = await DistributedAssay.start(on_kafka);
  // They are no settings of Assay, and an embedded one would say so.
  for (const name of Object.keys(process.env)) if (name.startsWith("ASSAY_")) delete process.env[name];
  embedded = new RunningAssay(join(root, "data"), await freePorts(), {
    ...quick,
    ASSAY_KAFKA_BROKERS: "",
    ASSAY_CLICKHOUSE_URL: "",
  });
});

afterAll(async () => {
  await assay?.close();
  for (const pid of embedded?.pids() ?? []) process.kill(pid, "SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

test("services that start before the setup wait for it, and say so", async () => {
  const early = await assay.launch("correlator");
  await until(
    60_000,
    () => `it does not wait: ${early.said()}`,
    () => early.said().includes("waiting for assay setup"),
  );
  const ready = await fetch(`${early.metrics_url}/ready`);
  expect(ready.status).toBe(503);
  expect(await ready.text()).toContain("none of the topics is there yet");
  expect(assay.command("topics", "check").code).toBe(1);

  const first = assay.command("setup", "--wait", "60s");
  expect(first).toMatchObject({ code: 0, stderr: "" });
  const key = /^ {2}(\S{43})$/m.exec(first.stdout)?.[1];
  expect(key).toBeDefined();
  assay.useKey(key ?? "");
  await early.ready();

  const second = assay.command("setup", "--wait", "60s");
  expect(second).toMatchObject({ code: 0, stderr: "" });
  expect(second.stdout).not.toContain(key);
  expect(second.stdout).toMatch(/topics +all there/);
  expect(assay.command("topics", "check")).toMatchObject({ code: 0, stdout: "The topics are as they should be.\n" });
  expect(await early.end("SIGTERM")).toBe(0);
});

test("another partition count than that of the topics is refused, with what to do", () => {
  const check = assay.commandWith({ ASSAY_KAFKA_PARTITIONS: "12" }, "topics", "check");
  expect(check.code).toBe(1);
  expect(check.stdout).toContain("assay.telemetry: partitions is 8, and should be 12.");
  expect(check.stdout).toContain("set ASSAY_KAFKA_PARTITIONS to what is there");
});

test("findings are those of an embedded Assay, whoever of the replicas comes and goes, and both audits add up", async () => {
  const names = ["correlator", "correlator", "evaluator", "evaluator", "ingest", "report-api"] as const;
  for (const name of names) replicas.push(await assay.launch(name));
  embedded.start();
  await Promise.all([...replicas.map((replica) => replica.ready()), embedded.ready(120_000)]);
  const both: readonly ApiAccess[] = [assay, embedded];
  const ids = Array.from({ length: hosts_count }, (_, i) => `host-${i}`);
  for (const one of both) {
    await createApplication(one, "fleet", ids);
  }
  await sleep(3 * Number(quick.ASSAY_WINDOW_MS)); // rules and application are in force by then

  const hosts = await Promise.all(ids.map((id, i) => givenHost(id, i)));
  const changes = (async () => {
    await sleep((batches_count * batch_wait_ms) / 4);
    expect(await replicas[0]?.end("SIGTERM")).toBe(0); // a correlator leaves,
    expect(await replicas[2]?.end("SIGKILL")).toBe(null); // an evaluator is killed,
    replicas.push(await assay.launch("correlator"), await assay.launch("evaluator")); // and others come
  })();
  await Promise.all(hosts.map((host) => host.run()));
  await changes;
  await sleep(Number(quick.ASSAY_WINDOW_MS) + Number(quick.ASSAY_LATENESS_MS) + 1_000);
  for (const host of hosts) await host.finish();

  const expected = new Map(hosts.flatMap((host) => [...host.expected]));
  const found = async (one: ApiAccess) => findingsOf(one, ids);
  for (const one of both) {
    await until(120_000, "findings are missing", async () => {
      const counts = new Map((await found(one)).map((f) => [`${f.host_id} ${f.rule_id}`, f.occurrences]));
      return [...expected].every(([what, count]) => (counts.get(what) ?? 0) >= count);
    });
  }
  const distributed = await found(assay);
  expect(distributed).toEqual(await found(embedded));
  expect(new Map(distributed.map((f) => [`${f.host_id} ${f.rule_id}`, f.occurrences]))).toEqual(expected);

  await until(60_000, "something is pending", () => audit().rows.every((row) => row.pending === 0));
  const report = audit();
  expect(report.problems).toEqual([]);
  expect(accepted(report, ids)).toBe(hosts_count * batches_count * events_per_batch);
  expect(await embedded.stop()).toBe(0);
  const beside = auditOf(embedded.data);
  expect(beside.problems).toEqual([]);
  expect(accepted(beside, ids)).toBe(accepted(report, ids));
});

test("a dead letter that is replayed counts where its events belong, once, and the audit adds up", async () => {
  const host_id = "host-replayed";
  const host = new RawHost(host_id, codec, assay.ingest_url, enrol_secret);
  await host.enrol();
  const shells = (count: number) =>
    Array.from({ length: count }, () => ({ parent_image: "/usr/sbin/nginx", parent_listens: [80], image: "/bin/sh" }));
  let seq = 0;
  const send = (count: number) => host.send(host.batch(shells(count), { seq: ++seq }));
  expect(await send(1)).toMatchObject({ status: 200 });
  expect(await send(events_max + 1)).toMatchObject({ status: 400, code: "out_of_bounds" });
  await sleep(Number(quick.ASSAY_WINDOW_MS) + Number(quick.ASSAY_LATENESS_MS) + 1_000);
  expect(await send(2)).toMatchObject({ status: 200 }); // the window of the refused batch closes

  const listed = assay.command("dead-letters", "list", "--reason", "out_of_bounds", "--format", "json");
  expect(JSON.parse(listed.stdout)).toMatchObject({ total: 1, dead_letters: [{ host_id, offset: -1, replayed_at: null }] });
  const [id] = (JSON.parse(listed.stdout) as { dead_letters: { id: string }[] }).dead_letters.map((letter) => letter.id);
  expect(assay.command("dead-letters", "show", id ?? "").stdout).toContain('"image": "/bin/sh"');
  const still = assay.command("dead-letters", "replay", id ?? "");
  expect(still).toMatchObject({ code: 1, stdout: expect.stringContaining("would be refused again: out_of_bounds") });
  const roomier = { ASSAY_INGEST_EVENTS_MAX: "10000" };
  const chosen = ["dead-letters", "replay", "--reason", "out_of_bounds", "--since", "1h"];
  expect(assay.commandWith(roomier, ...chosen).stdout).toContain("1 would be replayed, 0 not; nothing was done");
  expect(assay.commandWith(roomier, ...chosen, "--yes").stdout).toBe("1 replayed, 0 not\n");
  expect(assay.commandWith(roomier, ...chosen, "--yes").stdout).toContain("0 replayed, 1 not");

  await sleep(1_000);
  expect(await send(0)).toMatchObject({ status: 200 }); // with which the replayed one counts
  await sleep(Number(quick.ASSAY_WINDOW_MS) + Number(quick.ASSAY_LATENESS_MS) + 1_000);
  expect(await send(0)).toMatchObject({ status: 200 });
  await until(60_000, "something is pending", () => audit().rows.every((row) => row.pending === 0));
  const report = audit();
  expect(report.problems).toEqual([]);
  expect(report.rows.find((row) => row.host_id === host_id && row.kind === "processes")).toMatchObject({
    accepted: events_max + 4,
    windowed: events_max + 4,
    duplicates: 0,
    dead_lettered: 0,
  });
  expect((await findingsOf(assay, [host_id])).map((finding) => finding.occurrences)).toEqual([events_max + 4]);
});

test("each service tells how late its event loop was", async () => {
  for (const { name, metrics_url } of replicas.filter((_, i) => i !== 0 && i !== 2)) {
    const text = await (await fetch(`${metrics_url}/metrics`)).text();
    expect(text).toMatch(new RegExp(`^assay_${name.replace("-", "_")}_event_loop_delay_seconds\\{quantile="0.99"\\} \\d`, "m"));
    expect(text).toMatch(/^assay_process_process_resident_memory_bytes \d/m);
    expect(await (await fetch(`${metrics_url}/live`)).json()).toEqual({ live: true });
  }
});

test("services that are told to stop finish their work and end with 0", async () => {
  const running = replicas.filter((_, i) => i !== 0 && i !== 2);
  const codes = await Promise.all(running.map((replica) => replica.end("SIGTERM")));
  expect(codes).toEqual(running.map(() => 0));
});

/** One host that says the same to both. */
async function givenHost(host_id: string, seed: number) {
  const random = seeded(seed);
  const [here, there] = [assay, embedded].map((one) => new RawHost(host_id, codec, one.ingest_url, enrol_secret));
  if (!here || !there) throw new Error("there are two");
  await here.enrol();
  await there.enrol();
  const expected = new Map<string, number>();
  const mark = (rule: string) => expected.set(`${host_id} ${rule}`, (expected.get(`${host_id} ${rule}`) ?? 0) + 1);
  let batches = 0;
  const send = async (processes: readonly Partial<ProcessEvent>[]) => {
    const batch = here.batch(processes, { seq: ++batches });
    for (const host of [here, there]) {
      await until(30_000, `a batch of ${host_id} was not taken`, async () => {
        const answer = await host.send(batch);
        if (answer.status !== 200) throw new Error(`${answer.status} ${answer.message}`);
        return true;
      });
    }
  };
  return {
    expected,
    async run() {
      for (let i = 0; i < batches_count; i++) {
        const processes = Array.from({ length: events_per_batch }, (): Partial<ProcessEvent> => {
          const draw = random.next();
          if (draw < 0.03) {
            mark(markedRules.shell);
            return { parent_image: "/usr/sbin/nginx", parent_listens: [80], image: "/bin/sh", command_line: "sh -c id" };
          }
          if (draw < 0.06) {
            mark(markedRules.secret);
            return { command_line: "/usr/bin/app --password [REDACTED:0123456789ab]" };
          }
          return { command_line: `/usr/bin/app --job ${random.between(0, 50)}` };
        });
        await send(processes);
        await sleep(batch_wait_ms);
      }
    },
    finish: () => send([]),
  };
}

async function findingsOf(one: ApiAccess, ids: readonly string[]) {
  const rules: readonly string[] = [markedRules.shell, markedRules.secret];
  return (await allFindings(one))
    .filter(({ host_id, rule_id }) => ids.includes(host_id) && rules.includes(rule_id))
    .map(({ id, host_id, rule_id, identity, occurrences, first_seen, last_seen, status, late }) => ({
      ...{ id, host_id, rule_id, identity, occurrences, first_seen, last_seen, status, late },
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function audit(): AuditReport {
  const { stdout, stderr } = assay.command("audit", "--format", "json");
  if (stdout === "") throw new Error(`assay audit failed: ${stderr}`);
  return JSON.parse(stdout) as AuditReport;
}

function accepted({ rows }: AuditReport, ids: readonly string[]): number {
  return rows.filter((row) => ids.includes(row.host_id)).reduce((sum, row) => sum + row.accepted - row.duplicates, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
