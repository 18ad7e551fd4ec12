/**
 * The process in which an audit runs: as the owner of the data directory's services/, so that it reads what is theirs and leaves nothing
 * behind that they can't use. It has the log to itself, and starts the engine for as long as it takes.
 */
import { join } from "node:path";
import { createLogger } from "@assay/runtime/logger";
import { Codec, folderIds } from "@assay/schemas/codec";
import { connectStore } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import { openStore } from "../embedded/open-store";
import { type AuditSettings, runAudit } from "./run-audit";
import type { AuditReport } from "./table";

export interface AuditOrder extends AuditSettings {
  /** The data directory's services/. */
  readonly directory: string;
}

export type AuditAnswer = { readonly report: AuditReport } | { readonly failed: string };

export async function auditDirectory(hosted: NodeJS.Process): Promise<number> {
  hosted.on("disconnect", () => hosted.exit(1)); // nobody waits for it
  hosted.on("SIGINT", () => undefined);
  const order = await new Promise<AuditOrder>((resolve) => hosted.once("message", (message) => resolve(message as AuditOrder)));
  let answer: AuditAnswer;
  try {
    answer = { report: await readAll(order, hosted.env) };
  } catch (error) {
    answer = { failed: error instanceof Error ? error.message : String(error) };
  }
  await new Promise((resolve) => hosted.send?.(answer, resolve));
  return 0;
}

async function readAll(order: AuditOrder, env: NodeJS.ProcessEnv): Promise<AuditReport> {
  const logger = createLogger({ service: "audit", level: "error" });
  const log = await openEmbeddedLog({ directory: join(order.directory, "log"), logger });
  const opened = await openStore(join(order.directory, "clickhouse"), env, logger);
  const store = connectStore(opened.login);
  try {
    await migrate(store);
    return await runAudit(log, store, new Codec(folderIds()), order, Date.now());
  } finally {
    await store.close();
    await opened.stop();
    await log.close();
  }
}
