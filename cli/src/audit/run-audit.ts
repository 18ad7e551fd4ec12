/**
 * One audit. The order of reading makes it hold while everything goes on: first how far the stages have committed, then the store, then
 * the topics. So whatever is read later can only be more than what was promised before.
 */
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Store } from "@assay/store/client";
import { account } from "./account";
import { type AuditedLog, readDeadLetters, readPositions, readTelemetry, readUnevaluated } from "./read-log";
import { readStoredParts } from "./read-store";
import type { AuditReport } from "./table";

export interface AuditSettings {
  readonly window_ms: number;
  readonly lateness_ms: number;
}

export async function runAudit(
  log: AuditedLog,
  store: Store,
  codec: Codec,
  settings: AuditSettings,
  now: number,
): Promise<AuditReport> {
  const positions = await readPositions(log);
  const stored = await readStoredParts(store, now);
  const unevaluated = await readUnevaluated(log, codec, positions.evaluated_to);
  // Read twice: a telemetry record is taken by what is known of it already, and counted by what is known at the end.
  const { of_telemetry: dead } = await readDeadLetters(log, codec);
  const telemetry = await readTelemetry(log, codec, settings.window_ms, dead);
  const dead_letters = await readDeadLetters(log, codec);
  const partitions = new Map(
    [...telemetry.earliest].map(([partition, earliest]) => [
      partition,
      {
        earliest,
        // A record that was replayed is older than what it stands among, and what is younger than the topic keeps it has.
        kept_from: Math.max(telemetry.oldest_at.get(partition) ?? 0, now - telemetry_kept_ms),
        correlated_to: positions.correlated_to.get(partition) ?? 0,
      },
    ]),
  );
  const result = account({
    recount: telemetry.recount,
    lateness_ms: settings.lateness_ms,
    partitions,
    partitionOf: (host_id) => log.partitionOf(topics.telemetry.name, host_id),
    dead_letters: dead_letters.of_telemetry,
    stored,
    unevaluated,
  });
  return {
    audited_at: new Date(now).toISOString(),
    telemetry_from: telemetry.from === undefined ? null : new Date(telemetry.from).toISOString(),
    refused: dead_letters.refused,
    replayed: dead_letters.replayed,
    strangers: positions.strangers,
    partitions_cut: {
      cut: [...telemetry.earliest.values()].filter((earliest) => earliest > 0).length,
      of: telemetry.earliest.size,
    },
    ...result,
  };
}

const telemetry_kept_ms = topics.telemetry.retention_ms ?? Number.POSITIVE_INFINITY;
