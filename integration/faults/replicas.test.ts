/** Replicas of correlator and evaluator that die, join and leave under load. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceName } from "@assay/cli/embedded/thread-messages";
import { seeded } from "@assay/cli/scenarios/seeded";
import { FaultFleet, ready_wait_ms, recover_ms_max, start_ms_max } from "./fault-fleet";
import { apis } from "./kafka-proxy";
import { Load } from "./load";

let fleet: FaultFleet;
const random = seeded(3);

beforeAll(async () => {
  fleet = await FaultFleet.start();
}, start_ms_max);
afterEach(() => fleet.recover(), recover_ms_max);
afterAll(async () => {
  expect(await fleet?.close()).toEqual([0, 0, 0, 0, 0, 0]);
}, recover_ms_max);

test("an undisturbed fleet with two replicas of each finds every marked event once", async () => {
  const load = await Load.prepare(fleet, "undisturbed");
  load.begin();
  await sleep(8_000);
  await load.endAndCheck();
  expect(fleet.services.processes.map(({ restarts }) => restarts)).toEqual([0, 0, 0, 0, 0, 0]);
});

test("replicas of correlator and evaluator killed in mid-batch lose and double nothing", async () => {
  const load = await Load.prepare(fleet, "killed");
  load.begin();
  for (const name of ["evaluator", "correlator", "evaluator", "correlator"] as const) {
    await sleep(random.between(1_500, 3_500));
    await random.pick(fleet.services.of(name)).kill();
  }
  await sleep(3_000);
  await load.endAndCheck();
});

test("a correlator killed between its windows and their commit repeats them, and its readers drop the repeats", async () => {
  const load = await Load.prepare(fleet, "uncommitted");
  load.begin();
  await sleep(3_000);
  await killAt("correlator", apis.offset_commit, "assay-host-windows");
  await sleep(4_000);
  await load.endAndCheck();
});

test.each([
  ["evaluator", "assay-evaluate-host-windows"],
  ["correlator", "assay-host-windows"],
] as const)("a replica of the %s killed during a rebalance loses and doubles nothing", async (name, group) => {
  const load = await Load.prepare(fleet, `rebalanced-${name}`);
  load.begin();
  await sleep(2_000);
  for (const api of [apis.join_group, apis.sync_group]) {
    const killed = killAt(name, api, group);
    const joined = await fleet.services.add(name); // which makes the group rebalance
    await killed;
    await sleep(2_000);
    expect([0, null]).toContain(await fleet.services.remove(joined)); // null: it was the one, and isn't back yet
  }
  await load.endAndCheck();
});

test("replicas that join and leave under load change nothing", async () => {
  const load = await Load.prepare(fleet, "joining");
  load.begin();
  const joined = [];
  for (const name of ["correlator", "evaluator", "correlator", "evaluator"] as const) {
    joined.push(await fleet.services.add(name));
    await sleep(2_000);
  }
  await fleet.services.ready(ready_wait_ms);
  for (const process of joined) {
    await sleep(1_500);
    expect(await fleet.services.remove(process)).toBe(0);
  }
  await sleep(2_000);
  await load.endAndCheck();
});

/** kill -9 of the replica whose such request comes next, before the broker has it. */
async function killAt(name: ServiceName, api: number, group: string): Promise<void> {
  const { pid } = await fleet.kafka.catchRequest((request) => request.api === api && request.names(group));
  const process = fleet.services.byPid(pid);
  expect(process.name).toBe(name);
  await process.kill();
}
