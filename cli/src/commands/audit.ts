/**
 * `assay audit`: what was accepted, recounted from the log and compared with the store. On Kafka with a ClickHouse server it can be asked
 * for at any time; what is the data directory's alone, the embedded log and engine, must be at rest.
 */
import { correlatorRelations, correlatorSettings } from "@assay/correlator/settings";
import { createLogger } from "@assay/runtime/logger";
import { readSettings } from "@assay/runtime/settings";
import { connectStore, type Store } from "@assay/store/client";
import { requireMigrated } from "@assay/store/migrate";
import type { AuditOrder } from "../audit/audit-directory";
import { windowLength } from "../audit/read-store";
import { runAudit } from "../audit/run-audit";
import { type AuditReport, auditTable } from "../audit/table";
import { withDefaults } from "../distributed/defaults";
import { openExisting } from "../distributed/open-log";
import { readDistributedSettings } from "../distributed/read-settings";
import { onKafka } from "../distributed/settings";
import { storeOptions } from "../distributed/store-login";
import { command_retry_wait_ms_max, forCommand, withServers } from "../distributed/with-servers";
import { orderAtRest, requireAtRest } from "../embedded/at-rest";
import { auditScript } from "../embedded/code-paths";
import { type DataDirectory, dataDirectory } from "../embedded/data-directory";
import { readWindows, type Windows } from "../embedded/windows-file";
import { exitCodes, type Io, UserError } from "../io";
import { settingsError } from "../settings-error";

export async function audit(options: { readonly data?: string; readonly format: "table" | "json" }, given: Io): Promise<number> {
  const io = { ...given, env: withDefaults(given.env) };
  const onServers = onKafka(io.env) && (io.env.ASSAY_CLICKHOUSE_URL ?? "") !== "";
  if (onServers && options.data !== undefined)
    throw new UserError("--data is for an embedded Assay, and the settings name Kafka and a ClickHouse server");
  const report = onServers ? await auditServers(io) : await auditDirectory(dataDirectory(options.data, io), io);
  io.stdout.write(options.format === "json" ? `${JSON.stringify(report, null, 2)}\n` : auditTable(report));
  return report.problems.length === 0 ? exitCodes.ok : exitCodes.failed;
}

async function auditServers(io: Io): Promise<AuditReport> {
  const { kafka, store: login } = readDistributedSettings(io.env, { command: "assay audit", store: true }, {});
  const logger = createLogger({ service: "audit", level: "warn" });
  return withServers("audit", async () => {
    const store = connectStore({ ...storeOptions(login), retry_wait_ms: command_retry_wait_ms_max });
    try {
      await requireMigrated(store);
      const opened = await openExisting(forCommand(kafka), "assay-audit", logger);
      try {
        const now = Date.now();
        return await runAudit(opened.log, store, opened.codec, await windowsOfStore(store, io, now), now);
      } finally {
        await opened.close();
      }
    } finally {
      await store.close();
    }
  });
}

/** The length is the data's; the lateness must be set here as it is for the correlator. */
async function windowsOfStore(store: Store, io: Io, now: number): Promise<Windows> {
  const settings = windowSettings(io);
  return { ...settings, window_ms: (await windowLength(store, now)) ?? settings.window_ms };
}

async function auditDirectory(data: DataDirectory, io: Io): Promise<AuditReport> {
  requireAtRest(data, "audit", io);
  const { window_ms, lateness_ms } =
    readWindows(onKafka(io.env) ? data.kafka_windows_file : data.windows_file) ?? windowSettings(io);
  const order: AuditOrder = { directory: data.services, window_ms, lateness_ms };
  try {
    return await orderAtRest<AuditOrder, AuditReport>(auditScript, order, data, io);
  } catch (error) {
    throw new UserError(`could not audit ${data.root}: ${(error as Error).message}`);
  }
}

function windowSettings(io: Io): Windows {
  const read = readSettings(correlatorSettings, io.env, correlatorRelations);
  if (!read.ok) throw settingsError(read.problems);
  return read.settings;
}
