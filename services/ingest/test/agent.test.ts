/** The agent's real sender and spool against the real ingest. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OwnConnections } from "@assay/agent/collect/excluded";
import { DropCounts } from "@assay/agent/deliver/drop-counts";
import { HttpClient } from "@assay/agent/deliver/http-client";
import { IngestDelivery } from "@assay/agent/deliver/ingest-delivery";
import { Sender } from "@assay/agent/deliver/sender";
import { Spool } from "@assay/agent/deliver/spool";
import { StateFolder } from "@assay/agent/deliver/state-folder";
import { topics } from "@assay/schemas/topics";
import { batchOf, codec, enrol_secret, type GivenIngest, givenIngest, host_id, sectionOf } from "./given-ingest";

let ingest: GivenIngest;
let folder = "";
let sender: Sender | undefined;
beforeEach(async () => {
  ingest = await givenIngest();
  folder = mkdtempSync(join(tmpdir(), "assay-ingest-agent-"));
});
afterEach(async () => {
  await sender?.stop(0);
  sender = undefined;
  await ingest.stop();
  rmSync(folder, { recursive: true });
});

function agent(secret = enrol_secret) {
  const drops = new DropCounts();
  const logged: string[] = [];
  const note = (fields: object, message: string) => logged.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { info: note, warn: note, error: note };
  const spool = new Spool({ folder: join(folder, "spool"), bytes_max: 1e9, codec, drops, logger });
  const started = new Sender({
    delivery: new IngestDelivery({
      client: new HttpClient({ url: ingest.url, request_wait_ms: 2_000, ca: undefined, own: new OwnConnections(Date.now) }),
      state: StateFolder.open(folder),
      codec,
      logger,
      host_id,
      host_name: "one",
      agent_version: "0.1.0",
      secret,
      now: Date.now,
    }),
    spool,
    drops,
    logger,
    retry: { first_ms: 20, max_ms: 150 },
    now: Date.now,
    random: () => 0.5,
  });
  sender = started;
  return { spool, drops, logged, start: () => started.start() };
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`did not come about within 5 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const enrolments = () => ingest.metric('assay_ingest_enrolments_total{result="accepted"}');

test("an agent enrols, and delivers", async () => {
  const { spool, start } = agent();
  spool.addTelemetry(batchOf());
  start();
  await until(() => spool.isEmpty);
  expect(await ingest.records(topics.telemetry)).toHaveLength(1);
  expect(await enrolments()).toBe(1);
});

test("an agent whose credential ended enrols again, once", async () => {
  writeFileSync(join(folder, "credential"), "o".repeat(43));
  const { spool, start } = agent();
  spool.addTelemetry(batchOf());
  start();
  await until(() => spool.isEmpty);
  expect(await enrolments()).toBe(1);
  expect(readFileSync(join(folder, "credential"), "utf8")).not.toBe("o".repeat(43));
});

test("an agent with another secret says so, keeps what waits, and is not enrolled", async () => {
  const { spool, start, logged } = agent("not the fleet's secret");
  spool.addTelemetry(batchOf());
  start();
  await until(() => logged.length > 0);
  expect(logged[0]).toMatch(/^enrolment failed .*401.*ASSAY_ENROL_SECRET/);
  expect(spool.waitingBatches).toBe(1);
  expect(await enrolments()).toBe(0);
});

test("what an earlier identity of the host left in the spool is dropped and told, and does not hold up what comes after it", async () => {
  const { spool, drops, start, logged } = agent();
  const now = Date.now();
  spool.addTelemetry(batchOf({ host_id: "host-before", incarnation: now - 120_000, drops: [] }));
  spool.addInventory([sectionOf({ host_id: "host-before" })]);
  spool.addTelemetry(batchOf());
  start();
  await until(() => spool.isEmpty);
  expect(drops.take()).toEqual([
    { kind: "batches", reason: "wrong_host", count: 1 },
    { kind: "processes", reason: "wrong_host", count: 1 },
    { kind: "connections", reason: "wrong_host", count: 2 },
    { kind: "listeners", reason: "wrong_host", count: 1 },
  ]);
  expect(logged.filter((line) => line.startsWith("spooled by another host") && line.includes("host-before"))).toHaveLength(2);
  expect(await ingest.records(topics.telemetry)).toHaveLength(1);
  expect((await ingest.deadLetters()).map((letter) => letter.reason)).toEqual(["wrong_host", "wrong_host"]);
  expect(await enrolments()).toBe(1);
});
