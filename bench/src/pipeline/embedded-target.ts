/** `assay up` in a directory of its own, without the agent's part in the load. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { auditOf } from "@assay/cli/scenarios/final-checks";
import { freePorts, processNames, RunningAssay } from "@assay/cli/scenarios/running-assay";
import type { NamedProcess, Target } from "./target";

const ready_wait_ms = 90_000;

export async function startEmbedded(): Promise<Target> {
  const data = mkdtempSync(join(tmpdir(), "assay-bench-"));
  const assay = new RunningAssay(data, await freePorts());
  assay.start();
  await assay.ready(ready_wait_ms);
  return {
    mode: "embedded",
    api: assay,
    ingest_urls: [assay.ingest_url],
    enrol_secret: assay.enrolSecret(),
    window_ms: 10_000,
    lateness_ms: 2_000,
    metrics_urls: [`${assay.metrics_url}/metrics`],
    processes: () =>
      processNames.flatMap((name): NamedProcess[] => {
        const pid = assay.pid(name);
        return pid === undefined ? [] : [{ name: name === "engine" ? "clickhouse" : name, pid }];
      }),
    async finish() {
      await assay.stop();
      return auditOf(data);
    },
    async dispose() {
      for (const pid of assay.pids()) process.kill(pid, "SIGKILL");
      await assay.ended();
      rmSync(data, { recursive: true, force: true });
    },
  };
}
