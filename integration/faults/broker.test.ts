/** A broker that restarts, stays away, or answers nobody. */
import { setTimeout as sleep } from "node:timers/promises";
import { FaultFleet, ready_wait_ms, recover_ms_max, start_ms_max } from "./fault-fleet";
import { apis, type Caught } from "./kafka-proxy";
import { Load } from "./load";

const away_ms = 120_000;
/** Past the wait for a producer's answer (request_ms in packages/stream/src/kafka/kafkajs.ts), and the attempts after it. */
const timed_out_ms = 32_000;

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.start();
}, start_ms_max);
afterEach(() => fleet.recover(), recover_ms_max);
afterAll(async () => {
  expect(await fleet?.close()).toEqual([0, 0, 0, 0, 0, 0]);
}, recover_ms_max);

test.each([
  ["stopped", "stop"],
  ["killed", "kill"],
] as const)("a broker %s in mid-stream and started again: nothing is lost or doubled", async (how, end) => {
  const load = await Load.prepare(fleet, `broker-${how}`);
  load.begin();
  await sleep(3_000);
  await fleet.endBroker(end);
  await sleep(2_000);
  await fleet.startBroker();
  await sleep(4_000);
  await load.endAndCheck();
});

test("producers that time out after the broker has accepted write everything once", async () => {
  const load = await Load.prepare(fleet, "unanswered");
  load.begin();
  await sleep(2_000);
  const appended = (topic: string): Promise<Caught> =>
    fleet.kafka.catchAnswer(({ api, names }) => api === apis.produce && names(topic));
  const caught = await Promise.all(["assay.telemetry", "assay.host-windows", "assay.progress"].map(appended));
  const names = caught.map(({ pid }) => fleet.services.byPid(pid).name);
  expect(names).toEqual(["ingest", "correlator", "evaluator"]);
  await sleep(timed_out_ms);
  const { rows } = await load.endAndCheck();
  const repeated = rows.filter(({ host_id }) => load.hosts.has(host_id)).reduce((sum, row) => sum + row.duplicates, 0);
  expect(repeated).toBeGreaterThan(0); // hosts waited less than ingest did, and sent again
  expect(caught.map(({ pid }) => fleet.services.byPid(pid).name)).toEqual(names); // none of them had to end for it
});

test(
  "a broker away for two minutes: telemetry waits with its hosts, and nothing is lost or doubled",
  async () => {
    const load = await Load.prepare(fleet, "broker-away", { hosts: 3, batch_wait_ms: 2_000 });
    load.begin();
    await sleep(4_000);
    const pids = fleet.services.pids();
    await fleet.endBroker("stop");
    const batches = () => [...load.delivered().values()].reduce((sum, delivered) => sum + delivered.batches, 0);
    await sleep(2_000); // for answers that were on their way
    const before = batches();
    await sleep(away_ms);
    expect(batches()).toBe(before);
    // The report API has no need of the broker while nobody asks it to change anything.
    const needy = fleet.services.processes.filter(({ name }) => name !== "report-api");
    const ready = await Promise.all(needy.map((process) => process.isReady()));
    expect(ready).toEqual(needy.map(() => false));
    await fleet.startBroker();
    await fleet.services.ready(ready_wait_ms);
    expect(fleet.services.pids()).toEqual(pids); // nobody had to end for it
    await sleep(2_000);
    await load.endAndCheck();
  },
  away_ms + 120_000,
);
