/** Records that can't be used, and records that come again, hours after they came first. */
import { setTimeout as sleep } from "node:timers/promises";
import { RawHost } from "@assay/cli/scenarios/raw-host";
import { until } from "@assay/cli/scenarios/running-assay";
import { type Delivered, markedRules } from "@assay/cli/scenarios/synthetic-host";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { openSchemaRegistry, type RegistryIds } from "@assay/stream/schema-registry";
import { testRegistryUrl } from "../test-servers";
import { FaultFleet, partitions, recover_ms_max, start_ms_max } from "./fault-fleet";
import { checkAccount, checkFindings, Load } from "./load";
import { RawTopics } from "./raw-topics";

const hour_ms = 3_600_000;
const letters_wait_ms = 30_000;
const unregistered_id = 999_999;

let fleet: FaultFleet;
let raw: RawTopics;
let registry: RegistryIds;
/** As the services write. */
let codec: Codec;

beforeAll(async () => {
  fleet = await FaultFleet.start();
  raw = await RawTopics.open(fleet.broker.brokers, partitions);
  registry = await openSchemaRegistry({ url: testRegistryUrl() });
  codec = new Codec(registry);
}, start_ms_max);
afterEach(() => fleet.recover(), recover_ms_max);
afterAll(async () => {
  await raw?.close();
  await registry?.close();
  expect(await fleet?.close()).toEqual([0, 0, 0, 0, 0, 0]);
}, recover_ms_max);

test("records that can't be used become dead letters with a reason, and harm nothing else", async () => {
  const load = await Load.prepare(fleet, "poisoned");
  load.begin();
  await sleep(3_000);
  const due: string[] = [];
  const host_id = "poisoned-0";
  const batch = new RawHost("poison", new Codec(folderIds()), fleet.services.ingest_url, "").batch([{}]);
  const silent = { host_id, incarnation: 1, seq: 1, silent_since: 1, at: 1, timeout_ms: 1 };
  const window = (await raw.all(topics.hostWindows.name))[0]?.value;
  if (!window) throw new Error("no window was closed yet");
  const section = {
    host_id,
    host_name: host_id,
    incarnation: 1,
    section: "os",
    collected_at: Date.now(),
    sent_at: Date.now(),
    digest: "",
    status: "collected" as const,
    reason: "",
    chunk: 0,
    chunks: 1,
    content: Buffer.from("{}"),
  };
  const sent: [topic: string, whole: Buffer, wrong: Buffer][] = [
    [topics.telemetry.name, codec.encode("TelemetryBatch", batch), window],
    [topics.hostWindows.name, window, codec.encode("HostSilent", silent)],
    [topics.inventory.name, codec.encode("InventorySection", section), window],
  ];
  for (const [topic, whole, wrong] of sent) {
    const unknown = Buffer.from(whole);
    unknown.writeUInt32BE(unregistered_id, 1);
    const poison = {
      not_wire_format: Buffer.from("no Avro at all"),
      unknown_schema: unknown,
      malformed_body: whole.subarray(0, whole.length - 3),
      unexpected_schema: wrong,
      wrong_host: whole,
    };
    await raw.append(
      topic,
      Object.entries(poison).map(([reason, value]) => ({ key: reason === "wrong_host" ? "another-host" : host_id, value })),
    );
    due.push(...Object.keys(poison).map((reason) => `${topic} ${reason}`));
  }

  let listed: string[] = [];
  await until(letters_wait_ms, "", async () => {
    const { stdout } = await fleet.services.run(["dead-letters", "list", "--format", "json"]);
    const { dead_letters } = JSON.parse(stdout) as { dead_letters: { topic: string; reason: string }[] };
    listed = dead_letters.map(({ topic, reason }) => `${topic} ${reason}`);
    return listed.length >= due.length;
  }).catch(() => undefined); // told below
  expect(listed.sort()).toEqual(due.sort());
  await sleep(2_000);
  await load.endAndCheck();
  expect(fleet.services.processes.map(({ restarts }) => restarts)).toEqual([0, 0, 0, 0, 0, 0]);
});

test("topics replayed whole hours later, over a new incarnation: repeats are counted, findings stay", async () => {
  const load = await Load.prepare(fleet, "replayed");
  load.begin();
  await sleep(6_000);
  const first = await load.end();
  await checkFindings(fleet, first);
  const ofLoad = ({ key }: { readonly key: Buffer | null }) => key?.toString().startsWith("replayed") === true;
  const derived = [topics.hostWindows, topics.applicationPartials, topics.applicationWindows];
  const records = (await raw.all(topics.telemetry.name)).filter(ofLoad);
  for (const { name } of derived) records.push(...(await raw.all(name)).filter(ofLoad));
  const events = eventsOf(first);

  load.begin(); // the agents start anew: a later incarnation
  await sleep(3_000);
  await raw.replay(records, Date.now() + 5 * hour_ms);
  await sleep(3_000);
  const report = await load.endAndCheck();
  const repeated = report.rows.filter(({ host_id }) => load.hosts.has(host_id)).reduce((sum, row) => sum + row.duplicates, 0);
  expect(repeated).toBe(events);
});

test("a batch whose windows have closed is a supplement, once, also where it comes again hours later", async () => {
  const load = await Load.prepare(fleet, "late");
  load.begin();
  await sleep(4_000);
  const delivered = new Map(await load.end());
  const host = new RawHost("late-raw", new Codec(folderIds()), fleet.services.ingest_url, fleet.services.enrol_secret);
  await host.enrol();
  const secret = { command_line: "/usr/bin/app --password [REDACTED:0123456789ab]" };
  const accepted = async (batch: Parameters<RawHost["send"]>[0]) => expect(await host.send(batch)).toMatchObject({ status: 200 });
  await accepted(host.batch([secret]));
  await sleep(4_000);
  await accepted(host.batch([])); // that window is complete
  const at = Date.now() - 30_000;
  const late = host.batch([{ ...secret, at, started_at: at }, { ...secret, at: at + 1, started_at: at }, {}]);
  await accepted(late);
  const counted: Delivered = { ...host.delivered(), marked: { [markedRules.secret]: 3 } };
  await host.post({ path: "/v1/telemetry", body: new Codec(folderIds()).encode("TelemetryBatch", late) });
  const stands = (await raw.all(topics.telemetry.name)).filter(({ key }) => key?.toString() === host.host_id);
  await raw.replay(stands, Date.now() + 5 * hour_ms);
  await sleep(4_000);
  await accepted(host.batch([])); // the last part tells of the repeats
  delivered.set(host.host_id, counted);
  await checkFindings(fleet, delivered);
  const parts = await fleet.store.query<{ closed_by: string; events: number }>(
    `SELECT closed_by, sum(windowed['processes']) AS events FROM assay.coverage WHERE host_id = 'late-raw'
     GROUP BY closed_by HAVING events > 0 ORDER BY closed_by`,
  );
  expect(parts).toEqual([
    { closed_by: "complete", events: 2 },
    { closed_by: "supplement", events: 2 },
  ]);
  await checkAccount(fleet, delivered);
});

function eventsOf(delivered: ReadonlyMap<string, Delivered>): number {
  const counts = [...delivered.values()].map(({ events }) => events);
  return counts.reduce((sum, { processes, connections, listeners }) => sum + processes + connections + listeners, 0);
}
