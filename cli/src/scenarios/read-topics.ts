/** What stands on the topics of an Assay, also while it runs: read anew at each call. */
import { join } from "node:path";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { DeadLetter, HostWindow, TelemetryBatch } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import { type LogReader, readEmbeddedLog } from "@assay/stream/embedded-log";

const read_records_max = 500;

export function deadLettersOf(data: string, host_id: string): Promise<DeadLetter[]> {
  return recordsOf(data, topics.deadLetters.name, (record) =>
    record.name === "DeadLetter" && record.value.host_id === host_id ? record.value : undefined,
  );
}

/** In the order in which they were closed. */
export function windowsOf(data: string, host_id: string): Promise<HostWindow[]> {
  return recordsOf(data, topics.hostWindows.name, (record) =>
    record.name === "HostWindow" && record.value.host_id === host_id ? record.value : undefined,
  );
}

/** In the order in which they were accepted. */
export function batchesOf(data: string, host_id: string): Promise<TelemetryBatch[]> {
  return recordsOf(data, topics.telemetry.name, (record) =>
    record.name === "TelemetryBatch" && record.value.host_id === host_id ? record.value : undefined,
  );
}

async function recordsOf<T>(
  data: string,
  topic: string,
  pick: (record: ReturnType<Codec["decode"]>) => T | undefined,
): Promise<T[]> {
  const codec = new Codec(folderIds());
  const log = await readEmbeddedLog({ directory: join(data, "services/log") });
  try {
    const found: T[] = [];
    for (let partition = 0; partition < log.partitions(topic); partition++) {
      for await (const value of valuesOf(log, topic, partition)) {
        const picked = pick(codec.decode(value));
        if (picked !== undefined) found.push(picked);
      }
    }
    return found;
  } finally {
    await log.close();
  }
}

async function* valuesOf(log: LogReader, topic: string, partition: number): AsyncGenerator<Buffer> {
  const { earliest, end } = await log.bounds(topic, partition);
  for (let next = earliest; next < end; ) {
    const records = await log.read(topic, partition, next, read_records_max);
    const last = records.at(-1);
    if (!last) return;
    for (const record of records) if (record.value) yield record.value;
    next = last.offset + 1;
  }
}
