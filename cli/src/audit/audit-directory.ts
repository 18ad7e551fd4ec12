/**
 * An audit of what a data directory has, while it is at rest: of its log, or of Kafka where the settings name that, and of its engine, which
 * is started for as long as it takes, or the server that they name.
 */
import { join } from "node:path";
import { createLogger } from "@assay/runtime/logger";
import { connectStore } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import { openOwnLog, planLog } from "../distributed/open-log";
import { storeOptions } from "../distributed/store-login";
import { openStore } from "../embedded/open-store";
import { type AuditSettings, runAudit } from "./run-audit";
import type { AuditReport } from "./table";

export interface AuditOrder extends AuditSettings {
  /** The data directory's services/. */
  readonly directory: string;
}

export async function auditDirectory(order: AuditOrder): Promise<AuditReport> {
  const logger = createLogger({ service: "audit", level: "error" });
  const { log, codec, close } = await openOwnLog(planLog(process.env, join(order.directory, "log")), "assay-audit", logger);
  const opened = await openStore(order.directory, process.env, logger);
  const { cluster } = opened.login;
  const store = connectStore(storeOptions(opened.login));
  try {
    await migrate(store, cluster === undefined ? {} : { cluster });
    return await runAudit(log, store, codec, order, Date.now());
  } finally {
    await store.close();
    await opened.stop();
    await close();
  }
}
