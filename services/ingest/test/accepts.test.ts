import { gzipSync } from "node:zlib";
import { Codec, folderIds } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import { asHost, batchOf, codec, type GivenIngest, givenIngest, host_id, sectionOf, telemetryWire } from "./given-ingest";

test("a log with ids of its own gets the agent's bytes under them", async () => {
  const registry = new Codec({ ...folderIds(), currentId: () => 700 });
  const ingest = await givenIngest({ codec: registry });
  const wire = telemetryWire();
  expect((await ingest.post("/v1/telemetry", wire)).status).toBe(200);
  const [record] = await ingest.records(topics.telemetry);
  expect(record?.value?.readUInt32BE(1)).toBe(700);
  expect(record?.value?.subarray(5).equals(wire.subarray(5))).toBe(true);
  await ingest.stop();
});

describe("ingest", () => {
  let ingest: GivenIngest;
  beforeEach(async () => {
    ingest = await givenIngest();
  });
  afterEach(() => ingest.stop());

  test("appends a batch's very bytes under its host, then answers", async () => {
    const wire = telemetryWire();
    const before = Date.now();
    expect(await ingest.post("/v1/telemetry", wire)).toMatchObject({ status: 200, body: { accepted: 4 } });
    const [record, ...others] = await ingest.records(topics.telemetry);
    expect(others).toEqual([]);
    expect(record?.key?.toString()).toBe(host_id);
    expect(record?.value?.equals(wire)).toBe(true);
    expect(record?.timestamp).toBeGreaterThanOrEqual(before);
    expect(await ingest.metric('assay_ingest_events_total{kind="connections"}')).toBe(2);
    expect(await ingest.metric('assay_ingest_batches_total{type="telemetry"}')).toBe(1);
    expect(await ingest.metric('assay_ingest_bytes_total{type="telemetry"}')).toBe(wire.length);
    expect(await ingest.metric("assay_ingest_append_seconds_count")).toBe(1);
    expect(await ingest.deadLetters()).toEqual([]);
  });

  test("takes gzip, and appends what was in it", async () => {
    const wire = telemetryWire();
    const answer = await ingest.post("/v1/telemetry", gzipSync(wire), { ...asHost(), "content-encoding": "gzip" });
    expect(answer.status).toBe(200);
    expect((await ingest.records(topics.telemetry))[0]?.value?.equals(wire)).toBe(true);
  });

  test("takes a batch without events: an agent that saw nothing still tells how far it saw", async () => {
    const wire = telemetryWire({ processes: [], connections: [], listeners: [] });
    expect(await ingest.post("/v1/telemetry", wire)).toMatchObject({ status: 200, body: { accepted: 0 } });
  });

  test("appends inventory by host, section and chunk, to the host's partition", async () => {
    const wire = codec.encode("InventorySection", sectionOf({ chunk: 1, chunks: 2 }));
    expect(await ingest.post("/v1/inventory", wire)).toMatchObject({ status: 200, body: { accepted: 1 } });
    const [record] = await ingest.records(topics.inventory);
    expect(record?.key?.toString()).toBe("host-1/sshd/1");
    expect(record?.partition).toBe(ingest.log.partitionOf(topics.telemetry.name, host_id));
    expect(record?.value?.equals(wire)).toBe(true);
  });

  test.each([
    ["ahead", 3_600_000],
    ["behind", -3_600_000],
  ])("takes batches of a clock that is an hour %s, and tells it in a metric", async (agent_is, offset_ms) => {
    const now = Date.now() + offset_ms;
    const batch = batchOf();
    const shifted = { ...batch, sent_at: now, observed_from: now - 60_000, complete_through: now - 1_000 };
    const events = { processes: batch.processes.map((e) => ({ ...e, at: now - 2_000 })), connections: [], listeners: [] };
    expect((await ingest.post("/v1/telemetry", telemetryWire({ ...shifted, ...events }))).status).toBe(200);
    expect(await ingest.metric(`assay_ingest_clock_offset_seconds_bucket{le="600",agent_is="${agent_is}"}`)).toBe(0);
    expect(await ingest.metric(`assay_ingest_clock_offset_seconds_bucket{le="86400",agent_is="${agent_is}"}`)).toBe(1);
  });

  test("sees a credential that was given after it started, and the end of the one before", async () => {
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
    ingest.agents.set(host_id, "d".repeat(43));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(401);
    expect((await ingest.post("/v1/telemetry", telemetryWire(), asHost(host_id, "d".repeat(43)))).status).toBe(200);
  });

  test("answers other paths with what there is", async () => {
    expect(await ingest.post("/v1/other", "")).toMatchObject({ status: 404, body: { error: { code: "not_found" } } });
  });
});
