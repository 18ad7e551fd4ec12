/** `assay audit`: DESIGN's accounting, recounted from the log and compared with the store, of a data directory at rest. */
import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { correlatorRelations, correlatorSettings } from "@assay/correlator/settings";
import { readSettings } from "@assay/runtime/settings";
import type { AuditAnswer, AuditOrder } from "../audit/audit-directory";
import { auditTable } from "../audit/table";
import { auditScript } from "../embedded/code-paths";
import { checkDataDirectory, type DataDirectory, dataDirectory } from "../embedded/data-directory";
import { runningHolder } from "../embedded/lock-file";
import { readWindows, type Windows } from "../embedded/windows-file";
import { exitCodes, type Io, UserError } from "../io";

export async function audit(options: { readonly data?: string; readonly format: "table" | "json" }, io: Io): Promise<number> {
  const data = dataDirectory(options.data, io);
  if (existsSync(data.root)) checkDataDirectory(data, io.uid);
  if (!existsSync(data.services)) throw new UserError(`there is no data in ${data.root} yet (--data, ASSAY_DATA_DIR)`);
  const holder = runningHolder(data.lock);
  if (holder !== undefined) {
    throw new UserError(
      `${data.root} is in use by process ${holder}: stop that one first, then audit, because while it runs nobody else may open the log, and its counts go on; or audit other data (--data, ASSAY_DATA_DIR)`,
    );
  }
  const { window_ms, lateness_ms } = windowsOf(data, io);
  const order: AuditOrder = { directory: data.services, window_ms, lateness_ms };
  const answer = await inChild(order, data, io);
  if ("failed" in answer) throw new UserError(`could not audit ${data.root}: ${answer.failed}`);
  const { report } = answer;
  io.stdout.write(options.format === "json" ? `${JSON.stringify(report, null, 2)}\n` : auditTable(report));
  return report.problems.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** As the latest start wrote them down. */
function windowsOf(data: DataDirectory, io: Io): Windows {
  const kept = readWindows(data.windows_file);
  if (kept) return kept;
  const read = readSettings(correlatorSettings, io.env, correlatorRelations);
  if (!read.ok) throw new UserError(read.problems.join("; "));
  return read.settings;
}

function inChild(order: AuditOrder, data: DataDirectory, io: Io): Promise<AuditAnswer> {
  const owner = statSync(data.services);
  const env = Object.fromEntries(Object.entries(io.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  const child = spawn(process.execPath, [auditScript], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env,
    cwd: "/",
    ...(io.uid === 0 ? { uid: owner.uid, gid: owner.gid } : {}),
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-said_length_max);
  });
  return new Promise((resolve) => {
    let answer: AuditAnswer | undefined;
    child.on("message", (message) => {
      answer = message as AuditAnswer;
    });
    child.once("error", (error) => resolve({ failed: error.message }));
    child.once("close", (code) => resolve(answer ?? { failed: `its process ended with exit code ${code}: ${said.trim()}` }));
    child.send(order, () => undefined);
  });
}

const said_length_max = 2_000;
