import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { record_bytes_max } from "@assay/stream/embedded/framing";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import { contract_partitions, describeLogContract } from "./log-contract";

describeLogContract("the embedded log", async () => {
  const directory = mkdtempSync(join(tmpdir(), "assay-log-"));
  let log = await openEmbeddedLog({ directory, partitions: contract_partitions });
  return {
    log,
    record_bytes_max,
    rebalance_ms: 5_000,
    async reopen(partitions = contract_partitions) {
      await log.close();
      log = await openEmbeddedLog({ directory, partitions });
      return log;
    },
    async dispose() {
      await log.close();
      rmSync(directory, { recursive: true });
    },
  };
});
