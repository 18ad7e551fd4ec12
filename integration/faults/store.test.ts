/** Deaths around what the evaluator writes: exactly between its steps, and ClickHouse's own absence. */
import { setTimeout as sleep } from "node:timers/promises";
import { FaultFleet, ready_wait_ms, recover_ms_max, start_ms_max } from "./fault-fleet";
import { apis } from "./kafka-proxy";
import { Load } from "./load";

const away_ms = 120_000;
const group = "assay-evaluate-host-windows";
/** In the note that names the block's end; a commit after the block has none. */
const note_of_block = '"to":';

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.start();
}, start_ms_max);
afterEach(() => fleet.recover(), recover_ms_max);
afterAll(async () => {
  expect(await fleet?.close()).toEqual([0, 0, 0, 0, 0, 0]);
}, recover_ms_max);

test("an evaluator killed between its note and the insert writes the block once", async () => {
  const load = await Load.prepare(fleet, "noted");
  load.begin();
  await sleep(2_000);
  const { pid } = await fleet.clickhouse.catchRequest("INSERT INTO assay.findings ");
  await fleet.services.byPid(pid).kill();
  await sleep(3_000);
  await load.endAndCheck();
});

test("an evaluator killed between two tables of a block writes each of them once", async () => {
  const load = await Load.prepare(fleet, "half-written");
  load.begin();
  await sleep(2_000);
  const { pid, status } = await fleet.clickhouse.catchAnswer("INSERT INTO assay.findings ");
  expect(status).toBe(200);
  await fleet.services.byPid(pid).kill();
  await sleep(3_000);
  await load.endAndCheck();
});

test("an evaluator killed between a block and its commit writes the block once", async () => {
  const load = await Load.prepare(fleet, "uncommitted");
  load.begin();
  await sleep(2_000);
  const { pid } = await fleet.kafka.catchRequest(
    ({ api, bytes, names }) => api === apis.offset_commit && names(group) && !bytes.includes(note_of_block),
  );
  await fleet.services.byPid(pid).kill();
  await sleep(3_000);
  await load.endAndCheck();
});

test("evaluator and ClickHouse killed between a table and its view fill in the view, and double nothing", async () => {
  const load = await Load.prepare(fleet, "viewless");
  load.begin();
  await sleep(2_000);
  await fleet.store.command("ALTER TABLE assay.finding_activity_hourly ADD CONSTRAINT none CHECK occurrences = 0");
  try {
    const { pid, text } = await fleet.clickhouse.catchAnswer("INSERT INTO assay.finding_activity ");
    expect(text).toMatch(/VIOLATED_CONSTRAINT/);
    const [sums] = await fleet.store.query<{ table: number; view: number }>(
      `SELECT (SELECT sum(occurrences) FROM assay.finding_activity) AS table,
              (SELECT sum(occurrences) FROM assay.finding_activity_hourly) AS view`,
    );
    expect(sums?.table).toBeGreaterThan(sums?.view ?? 0); // the table has the block, the view doesn't
    await fleet.services.byPid(pid).kill();
    fleet.killClickHouse();
    await sleep(1_000);
  } finally {
    await fleet.store.command("ALTER TABLE assay.finding_activity_hourly DROP CONSTRAINT none");
  }
  await sleep(3_000);
  await load.endAndCheck();
});

test(
  "ClickHouse away for two minutes: telemetry is taken all the while, and everything is found afterwards",
  async () => {
    const load = await Load.prepare(fleet, "storeless", { hosts: 3, batch_wait_ms: 2_000 });
    load.begin();
    await sleep(4_000);
    await fleet.stopClickHouse();
    const batches = () => [...load.delivered().values()].reduce((sum, delivered) => sum + delivered.batches, 0);
    const before = batches();
    await sleep(away_ms);
    expect(batches()).toBeGreaterThan(before + (away_ms / 2_000) * 2);
    await fleet.startClickHouse();
    await fleet.services.ready(ready_wait_ms);
    await sleep(2_000);
    await load.endAndCheck();
  },
  away_ms + 120_000,
);
