/** Every service as a process of its own, on a broker, a registry and a ClickHouse of this machine. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RawHost } from "@assay/cli/scenarios/raw-host";
import { until } from "@assay/cli/scenarios/running-assay";
import { RunningFleet } from "@assay/cli/scenarios/running-fleet";
import { rulesInForce } from "@assay/cli/scenarios/scenario-api";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { InventorySection } from "@assay/schemas/generated/types";
import { type Engine, startEngine } from "@assay/store/engine";
import { type LocalKafka, startLocalKafka } from "./local-kafka";
import type { NamedProcess, Target } from "./target";

const ready_wait_ms = 120_000;
const broker_heap_mb = 1_024;
/** As an embedded Assay has them, so that the two can be compared. */
const window_ms = 10_000;
const lateness_ms = 2_000;
const flush_wait_ms = 1_000;
/** More than there are replicas here; a batch on Kafka is of one partition, so that many more would only make small ones. */
const partitions = 16;
const rules_wait_ms = 60_000;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

export async function startKafka(): Promise<Target> {
  const ending: (() => unknown)[] = [];
  const dispose = async () => {
    for (const end of ending.splice(0).reverse()) await end();
  };
  try {
    const kafka = await startLocalKafka(["--heap-mb", String(broker_heap_mb)]);
    ending.push(() => kafka.stop());
    const directory = mkdtempSync(join(tmpdir(), "assay-bench-"));
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    const engine = await startEngine({ directory, logger: silent });
    ending.push(() => engine.stop());
    const fleet = new RunningFleet({ env: settingsOf(kafka, engine) });
    ending.push(() => fleet.stop());
    await fleet.start(ready_wait_ms);
    await showRules(fleet);
    return {
      mode: "kafka",
      api: fleet,
      ingest_urls: [fleet.ingest_url],
      enrol_secret: fleet.enrol_secret,
      window_ms,
      lateness_ms,
      metrics_urls: fleet.processes.map((process) => `${process.metrics_url}/metrics`),
      processes: () => processesOf(fleet, kafka, engine),
      async finish() {
        await fleet.stop();
        return fleet.audit();
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function settingsOf(kafka: LocalKafka, engine: Engine): Record<string, string> {
  return {
    ASSAY_KAFKA_BROKERS: kafka.brokers,
    ASSAY_SCHEMA_REGISTRY_URL: kafka.registry_url,
    ASSAY_KAFKA_PARTITIONS: String(partitions),
    ASSAY_CLICKHOUSE_URL: engine.url,
    ASSAY_CLICKHOUSE_USER: engine.username,
    ASSAY_CLICKHOUSE_PASSWORD: engine.password,
    ASSAY_WINDOW_MS: String(window_ms),
    ASSAY_LATENESS_MS: String(lateness_ms),
    ASSAY_EVALUATOR_FLUSH_WAIT_MS: String(flush_wait_ms),
  };
}

/** The store has the rules once something was evaluated by them: here sections of inventory that say nothing, until the rules are in force. */
async function showRules(fleet: RunningFleet): Promise<void> {
  const codec = new Codec(folderIds());
  const host = new RawHost("first", codec, fleet.ingest_url, fleet.enrol_secret);
  await host.enrol();
  await until(rules_wait_ms, "the rules were not in force", async () => {
    const body = codec.encode("InventorySection", emptySection(host.host_id, Date.now()));
    const { status, message } = await host.post({ path: "/v1/inventory", body });
    if (status !== 200) throw new Error(`ingest refused a section of inventory: ${status} ${message}`);
    await sleep(flush_wait_ms + 1_000);
    return rulesInForce(fleet);
  });
}

function emptySection(host_id: string, now: number): InventorySection {
  const content = Buffer.from("{}");
  return {
    host_id,
    host_name: host_id,
    incarnation: now,
    section: "sshd",
    collected_at: now,
    sent_at: now,
    digest: createHash("sha256").update(content).digest("hex"),
    status: "absent",
    reason: "",
    chunk: 0,
    chunks: 1,
    content,
  };
}

function processesOf(fleet: RunningFleet, kafka: LocalKafka, engine: Engine): NamedProcess[] {
  const clickhouse = engine.status().pid;
  return [
    ...fleet.processes.flatMap(({ name, pid }) => (pid === undefined ? [] : [{ name, pid }])),
    ...(clickhouse === undefined ? [] : [{ name: "clickhouse", pid: clickhouse }]),
    { name: "broker", pid: kafka.broker_pid },
    { name: "registry", pid: kafka.registry_pid },
  ];
}
