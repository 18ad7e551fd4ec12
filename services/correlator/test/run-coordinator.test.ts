import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask } from "@assay/control/ask";
import { ControlView } from "@assay/control/follow";
import { createLogger } from "@assay/runtime/logger";
import { allTopics, topics } from "@assay/schemas/topics";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import { LogFullError, type NewRecord } from "@assay/stream/log";
import { runCoordinator } from "../src/coordinator/run-coordinator";
import { codec } from "./given";

const settings = { window_ms: 10_000, lateness_ms: 2_000, silent_after_ms: 60_000 };

test("a full log is waited for: the command is answered once there is room", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-coordinator-"));
  const log = await openEmbeddedLog({ directory });
  try {
    await log.ensureTopics(allTopics);
    let refusals = 0;
    const append = log.append.bind(log);
    log.append = async (records: readonly NewRecord[]) => {
      if (records.some((r) => r.topic === topics.control.name) && ++refusals <= 2) throw new LogFullError("no room");
      return append(records);
    };
    const coordinator = await runCoordinator(log, codec, settings, createLogger({ service: "test", level: "fatal" }));
    const control = await ControlView.open(log, codec);
    const agent = { host_id: "h1", host_name: "h1.example", credential_sha256: "0".repeat(64), enrolled_at: 1 };
    expect(await ask(log, codec, control, { type: "enrol_agent", agent }, "test")).toMatchObject({ result: "accepted" });
    expect(refusals).toBe(3);
    await coordinator.stop();
  } finally {
    await log.close();
    rmSync(directory, { recursive: true });
  }
});

test("a record that another owner was faster with is decided anew, and the command has its true answer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-coordinator-"));
  const log = await openEmbeddedLog({ directory });
  try {
    await log.ensureTopics(allTopics);
    const append = log.append.bind(log);
    const tagged = (owner: string) => ({ tags: { owner } });
    let raced = false;
    log.append = async (records: readonly NewRecord[]) => {
      if (records.some((r) => r.topic === topics.control.name) && !raced) {
        raced = true;
        const other = { kind: "host", id: "h1", version: 1, at: 1, effective_from: 1, command_id: "other" };
        const value = codec.encode("ControlRecord", { ...other, body: JSON.stringify(tagged("other")) });
        await append([{ topic: topics.control.name, key: "host/h1@1", value }]);
      }
      return append(records);
    };
    const coordinator = await runCoordinator(log, codec, settings, createLogger({ service: "test", level: "fatal" }));
    const control = await ControlView.open(log, codec);
    const answer = await ask(
      log,
      codec,
      control,
      { type: "put_host_tags", id: "h1", expected_version: 0, host: tagged("mine") },
      "test",
    );
    expect(answer).toEqual({ result: "rejected", reason: "version_conflict", detail: "host h1 is at version 1, not 0" });
    expect(control.latest("host", "h1")?.value).toEqual(tagged("other"));
    await coordinator.stop();
  } finally {
    await log.close();
    rmSync(directory, { recursive: true });
  }
});

test("a version holds from an edge after it is decided, however late its command comes", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-coordinator-"));
  const log = await openEmbeddedLog({ directory });
  try {
    await log.ensureTopics(allTopics);
    const begun = Date.now();
    const body = JSON.stringify({ id: "h1", expected_version: 0, host: { tags: {} } });
    const command = { command_id: "late", at: begun - 600_000, by: "test", type: "put_host_tags", body };
    const value = codec.encode("Command", command);
    await log.append([{ topic: topics.commands.name, key: "host/h1", value, timestamp: begun - 600_000 }]);
    const coordinator = await runCoordinator(log, codec, settings, createLogger({ service: "test", level: "fatal" }));
    const control = await ControlView.open(log, codec);
    await until(async () => {
      await control.refresh();
      return control.answerTo("late") !== undefined;
    });
    expect(control.latest("host", "h1")?.effective_from).toBeGreaterThanOrEqual(begun + 2 * settings.window_ms);
    await coordinator.stop();
  } finally {
    await log.close();
    rmSync(directory, { recursive: true });
  }
});

test("a coordinator whose commit is fenced does nothing more", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-coordinator-"));
  const log = await openEmbeddedLog({ directory });
  try {
    await log.ensureTopics(allTopics);
    let fenced = false;
    let reads_after = 0;
    let turns_after = 0;
    const open = log.source.bind(log);
    log.source = async (options) => {
      const source = await open(options);
      const next = source.next.bind(source);
      source.next = (wait_ms) => {
        if (fenced) turns_after++;
        return next(wait_ms);
      };
      source.commit = async () => {
        fenced = true;
        return "fenced";
      };
      return source;
    };
    const read = log.read.bind(log);
    log.read = (topic, ...rest) => {
      if (fenced && topic === topics.progress.name) reads_after++;
      return read(topic, ...rest);
    };
    const coordinator = await runCoordinator(log, codec, settings, createLogger({ service: "test", level: "fatal" }));
    await log.append([{ topic: topics.commands.name, key: "none", value: Buffer.from("none") }]);
    await until(async () => turns_after > 2);
    await coordinator.stop();
    expect(reads_after).toBe(0);
  } finally {
    await log.close();
    rmSync(directory, { recursive: true });
  }
});

async function until(reached: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await reached()); ) {
    if (Date.now() > deadline) throw new Error("not reached in 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
