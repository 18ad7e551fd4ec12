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
