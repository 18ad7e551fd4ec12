/** The correlator on a real log: commands answered, windows out, the same windows after a restart in the middle. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import { ControlView } from "@assay/control/follow";
import { createLogger } from "@assay/runtime/logger";
import { createMetrics } from "@assay/runtime/metrics";
import type { RunningService } from "@assay/runtime/service";
import type { ApplicationWindow, HostWindow } from "@assay/schemas/generated/types";
import { allTopics, topics } from "@assay/schemas/topics";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log } from "@assay/stream/log";
import { startCorrelator } from "../src/start-correlator";
import { batch, codec, connectionEvent, processEvent } from "./given";

const settings = { window_ms: 1_000, lateness_ms: 100, silent_after_ms: 3_600_000, checkpoint_wait_ms: 200 };
const logger = createLogger({ service: "test", level: "silent" });

let directory: string;
let log: Log;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-correlator-"));
  log = await openEmbeddedLog({ directory, partitions: 2 });
  await log.ensureTopics(allTopics);
});
afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true, force: true });
});

async function withCorrelator<T>(use: (control: ControlView, service: RunningService) => Promise<T>, changed = {}): Promise<T> {
  const metrics = createMetrics("correlator");
  const control = await ControlView.open(log, codec);
  const service = await startCorrelator({ ...settings, ...changed }, { log, codec, control, logger, metrics });
  try {
    return await use(control, service);
  } finally {
    await service.stop();
    metrics.stop();
  }
}

/** Recent, so that retention keeps it. */
const origin = Math.floor(Date.now() / 1_000) * 1_000 - 60_000;
function telemetry(host_id: string, seq: number) {
  const through = origin + seq * 400;
  const told = batch({
    host_id,
    host_name: host_id,
    seq,
    observed_from: origin,
    complete_through: through,
    sent_at: through,
    processes: [processEvent(through - 1, { image: `/bin/${seq % 3}` })],
    connections: [connectionEvent(through - 2)],
  });
  return { topic: topics.telemetry.name, key: host_id, value: codec.encode("TelemetryBatch", told), timestamp: through };
}

async function all<T>(topic: string, name: string): Promise<T[]> {
  const values: T[] = [];
  for (let partition = 0; partition < log.partitions(topic); partition++) {
    for (const record of await log.read(topic, partition, 0, 10_000)) {
      const decoded = record.value ? codec.decode(record.value) : undefined;
      if (decoded?.name === name) values.push((decoded as unknown as { value: T }).value);
    }
  }
  return values;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error("it didn't come about within 10 s");
}

/** Distinct parts, as a reader with marks would keep them. */
async function parts(): Promise<Map<string, HostWindow>> {
  const windows = await all<HostWindow>(topics.hostWindows.name, "HostWindow");
  return new Map(windows.map((w) => [`${w.host_id} ${w.incarnation} ${w.seq_to} ${w.window_start}`, w]));
}

test("answers commands, and windows what comes after them by what they said", async () => {
  await withCorrelator(async (control) => {
    const application = { name: "App", selector: { all: [] }, tiers: [] };
    const put: CommandBody = { type: "put_application", id: "app", expected_version: 0, application };
    expect(await ask(log, codec, control, put, "test")).toEqual({
      result: "accepted",
      kind: "application",
      id: "app",
      version: 1,
    });
    const began = control.latest("application", "app")?.effective_from ?? 0;
    const seq = 3;
    for (let i = 0; i <= seq; i++) {
      const at = began + i * 1_000;
      const told = batch({
        seq: i + 1,
        observed_from: began,
        complete_through: at + 100,
        sent_at: at + 100,
        connections: [connectionEvent(at)],
      });
      await log.append([
        { topic: topics.telemetry.name, key: "h1", value: codec.encode("TelemetryBatch", told), timestamp: at + 100 },
      ]);
    }
    await until(async () => (await all(topics.applicationWindows.name, "ApplicationWindow")).length >= seq);
  });
  const windows = await all<ApplicationWindow>(topics.applicationWindows.name, "ApplicationWindow");
  expect(windows.map((w) => [w.application_id, w.flows.length, w.late])).toEqual([
    ["app", 1, false],
    ["app", 1, false],
    ["app", 1, false],
  ]);
});

test("a restart in the middle changes no window", async () => {
  const batches = Array.from({ length: 60 }, (_, i) => ["h1", "h2", "h3"].map((h) => telemetry(h, i + 1))).flat();
  const closed = Math.floor((60 * 400 - settings.lateness_ms) / settings.window_ms);
  for (const [from, to] of [
    [0, 70],
    [70, 71],
    [71, 120],
    [120, 180],
  ] as const) {
    await withCorrelator(async () => {
      await log.append(batches.slice(from, to));
      await sleep(from === 70 ? 0 : 350);
    });
  }
  await withCorrelator(() => until(async () => (await parts()).size === 3 * closed));
  const windows = [...(await parts()).values()];
  expect(windows.every((w) => w.closed_by === "complete")).toBe(true);
  const events = windows.reduce((n, w) => n + w.counts.reduce((m, c) => m + c.windowed, 0), 0);
  const expected =
    batches.length / 3 -
    batches.filter((_, i) => i % 3 === 0 && origin + (i / 3 + 1) * 400 - 1 >= origin + closed * 1_000).length;
  expect(events).toBe(expected * 3 * 2);
});

test("a host that falls silent has its open window closed, and is told once", async () => {
  await withCorrelator(
    async () => {
      await log.append([telemetry("h1", 1)]);
      await until(async () => (await parts()).size === 1);
    },
    { silent_after_ms: 5_000 },
  );
  expect([...(await parts()).values()]).toMatchObject([{ host_id: "h1", closed_by: "silent" }]);
  expect(await all(topics.telemetry.name, "HostSilent")).toHaveLength(1);
});

test("a record among the commands that isn't one becomes a dead letter, and the next command is answered", async () => {
  await withCorrelator(async (control) => {
    await log.append([{ topic: topics.commands.name, key: "?", value: Buffer.from("not a command") }]);
    const application = { name: "App", selector: { all: [] }, tiers: [] };
    const put = { type: "put_application", id: "app", expected_version: 0, application } as const;
    expect(await ask(log, codec, control, put, "test")).toMatchObject({ result: "accepted" });
    expect(await all(topics.deadLetters.name, "DeadLetter")).toMatchObject([
      { service: "correlator", reason: "not_wire_format", topic: topics.commands.name, offset: 0 },
    ]);
  });
});
