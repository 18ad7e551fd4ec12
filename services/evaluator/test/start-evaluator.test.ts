/** The service as it is hosted: real log, control, rules and engine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RulePackage } from "@assay/control/entities";
import { ControlView } from "@assay/control/follow";
import { createLogger } from "@assay/runtime/logger";
import { createMetrics, type ServiceMetrics } from "@assay/runtime/metrics";
import type { RunningService } from "@assay/runtime/service";
import { readSettings } from "@assay/runtime/settings";
import { allTopics, topics } from "@assay/schemas/topics";
import type { Store } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log } from "@assay/stream/log";
import { TemporaryEngines } from "../../../packages/store/test/temporary-engine";
import { evaluatorRelations, evaluatorSettings } from "../src/settings";
import { startEvaluator } from "../src/start-evaluator";
import { applicationWindow, codec, flow, listener, section, t0, window } from "./given";
import { dnsQuery, httpListener, pack, rootLogin, telnetFlow } from "./packages";

const engines = new TemporaryEngines();
const directory = mkdtempSync(join(tmpdir(), "assay-evaluator-"));
let store: Store;
let log: Log;
let metrics: ServiceMetrics;
let evaluator: RunningService;

beforeAll(async () => {
  store = engines.connect(await engines.start());
  await migrate(store);
  log = await openEmbeddedLog({ directory, partitions: 2 });
  await log.ensureTopics(allTopics);
  metrics = createMetrics("evaluator");
  const read = readSettings(evaluatorSettings, { ASSAY_EVALUATOR_FLUSH_WAIT_MS: "100" }, evaluatorRelations);
  if (!read.ok) throw new Error(read.problems.join("\n"));
  const control = await ControlView.open(log, codec);
  evaluator = await startEvaluator(read.settings, {
    log,
    codec,
    store,
    control,
    metrics,
    logger: createLogger({ service: "evaluator", level: "silent" }),
  });
}, 60_000);

afterAll(async () => {
  await evaluator.stop();
  await evaluator.ended;
  metrics.stop();
  await log.close();
  await engines.endAll();
  rmSync(directory, { recursive: true, force: true });
});

test("evidence becomes findings and outcomes in the store, by the rules that control names", async () => {
  expect(evaluator.ready()).toEqual({ ready: true });
  const good = pack("basic", { "http.yml": httpListener, "root.yml": rootLogin, "telnet.yml": telnetFlow, "dns.yml": dnsQuery });
  const bad = pack("bad", { "bad.yml": "title: nothing else" });
  for (const value of [good, bad]) await log.append([activated(value)]);
  const settings = { settings: { PermitRootLogin: "yes" }, sources: {} };
  await log.append([
    record(topics.hostWindows.name, "host-a", codec.encode("HostWindow", window(0, { listeners: [listener(t0 + 5)] }))),
    record(
      topics.inventory.name,
      "host-a/sshd/0",
      codec.encode("InventorySection", section(0, "sshd", settings, { sent_at: t0 + 10_000 })),
    ),
    record(
      topics.applicationWindows.name,
      "shop",
      codec.encode("ApplicationWindow", applicationWindow(0, { flows: [flow(t0 + 5)] })),
    ),
  ]);
  // Counted once all of a block is durable.
  const stages = ["host-windows", "inventory", "application-windows"];
  await until(async () => {
    const text = await metrics.registry.metrics();
    return stages.every((stage) => text.includes(`evaluated_total{stage="evaluate-${stage}"} 1`));
  });
  expect(await findings()).toEqual([
    { title: "Listener that speaks HTTP", host_id: "host-a", status: "active", severity: "low", first_seen: t0 + 5 },
    { title: "Root may log in over SSH", host_id: "host-a", status: "active", severity: "high", first_seen: t0 },
    { title: "Telnet between hosts", host_id: "host-a", status: "active", severity: "medium", first_seen: t0 + 5 },
  ]);
  const outcomes = await store.query("SELECT rule_id, outcome, application_id FROM assay.outcomes ORDER BY rule_id");
  expect(outcomes).toEqual([
    { rule_id: "11111111-1111-4111-8111-111111111111", outcome: "match", application_id: "" },
    { rule_id: "22222222-2222-4222-8222-222222222222", outcome: "match", application_id: "" },
    { rule_id: "33333333-3333-4333-8333-333333333333", outcome: "match", application_id: "shop" },
    { rule_id: "55555555-5555-4555-8555-555555555555", outcome: "insufficient_evidence", application_id: "" },
    { rule_id: "package:bad", outcome: "error", application_id: "" },
  ]);
  const text = await metrics.registry.metrics();
  expect(text).toContain('assay_evaluator_finding_changes_total{severity="high",change="opened"} 1');
  expect(text).toContain('assay_evaluator_rule_errors_total{cause="package"} 1');
  expect(text).toContain('assay_evaluator_lag_records{stage="host-windows"} 0');
});

function activated(value: RulePackage) {
  const body = JSON.stringify(value);
  const entity = { kind: "package", id: value.name, version: 1, at: t0, effective_from: t0 - 60_000, command_id: "", body };
  return { topic: topics.control.name, key: `${value.name}@1`, value: codec.encode("ControlRecord", entity) };
}

function record(topic: string, key: string, value: Buffer) {
  return { topic, key, value, timestamp: t0 + 10_000 };
}

function findings() {
  return store.query("SELECT title, host_id, status, severity, first_seen FROM assay.findings FINAL ORDER BY title");
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}
