/**
 * The passing of time, as a record: a host from which nothing came for silent_after_ms gets a HostSilent under its key. The time
 * in which nobody was there to hear it doesn't count: after an outage of ours each host has as long again to deliver its spool.
 */
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { NewRecord } from "@assay/stream/log";
import type { PartitionState } from "./state";

export function tellSilence(state: PartitionState, now: number, silent_after_ms: number, codec: Codec): NewRecord[] {
  const told: NewRecord[] = [];
  state.watching_since ??= now;
  for (const host of state.hosts.values()) {
    if (host.silent || now - Math.max(host.received_at, state.watching_since) <= silent_after_ms) continue;
    const mark = `${host.incarnation}/${host.seq}`;
    if (state.silence_told.get(host.host_id) === mark) continue;
    state.silence_told.set(host.host_id, mark);
    const { host_id, incarnation, seq } = host;
    const value = codec.encode("HostSilent", {
      host_id,
      incarnation,
      seq,
      silent_since: host.received_at,
      at: now,
      timeout_ms: silent_after_ms,
    });
    told.push({ topic: topics.telemetry.name, partition: state.partition, key: host_id, value });
  }
  return told;
}
