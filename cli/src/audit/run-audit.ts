/**
 * One audit. The order of reading makes it hold while everything goes on: first how far the stages have committed, then the store, then
 * the topics. So whatever is read later can only be more than what was promised before.
 */
import type { Codec } from "@assay/schemas/codec";
import type { Store } from "@assay/store/client";
import type { LogReader } from "@assay/stream/embedded-log";
import { account } from "./account";
import { readDeadLetters, readPositions, readTelemetry, readUnevaluated } from "./read-log";
import { readStoredParts } from "./read-store";
import type { AuditReport } from "./table";

export interface AuditSettings {
  readonly window_ms: number;
  readonly lateness_ms: number;
}

export async function runAudit(
  log: LogReader,
  store: Store,
  codec: Codec,
  settings: AuditSettings,
  now: number,
): Promise<AuditReport> {
  const positions = await readPositions(log);
  const stored = await readStoredParts(store, now - stored_behind_ms);
  const unevaluated = await readUnevaluated(log, codec, positions.evaluated_to);
  // Read twice: a telemetry record is taken by what is known of it already, and counted by what is known at the end.
  const { of_telemetry: dead } = await readDeadLetters(log, codec);
  const telemetry = await readTelemetry(log, codec, settings.window_ms, dead);
  const dead_letters = await readDeadLetters(log, codec);
  const partitions = new Map(
    [...telemetry.earliest].map(([partition, earliest]) => [
      partition,
      { earliest, correlated_to: positions.correlated_to.get(partition) ?? 0 },
    ]),
  );
  const result = account({
    recount: telemetry.recount,
    lateness_ms: settings.lateness_ms,
    partitions,
    dead_letters: dead_letters.of_telemetry,
    stored,
    unevaluated,
  });
  return {
    audited_at: new Date(now).toISOString(),
    telemetry_from: telemetry.from === undefined ? null : new Date(telemetry.from).toISOString(),
    refused: dead_letters.refused,
    partitions_cut: {
      cut: [...telemetry.earliest.values()].filter((earliest) => earliest > 0).length,
      of: telemetry.earliest.size,
    },
    ...result,
  };
}

/** Telemetry is kept for a day; parts received earlier than this have no batch left in the topic. */
const stored_behind_ms = 2 * 86_400_000;
