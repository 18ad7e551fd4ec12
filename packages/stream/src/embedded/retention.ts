/**
 * What leaves the log, besides what compaction drops at append: records past their topic's retention, old tombstones, and what newer
 * records of their keys have superseded on topics that stages read. All stay until every group that commits on their topic has passed
 * them: a machine that was off for a week must not find its own telemetry gone before it was read. Works in slices, so that appends wait for none of it long. The pages that it frees are used again by appends.
 */
import type { Environment } from "./environment";
import { keyPlace, offsetOfPlace, pair, partitionPlace, readFrame, readPair, recordPlace, storedBytes } from "./framing";
import { readCommitted, readGroup } from "./groups";
import type { StoredTopic, TopicTable } from "./topic-table";

/** A tombstone, or what was superseded, stays at least this long, for those who read along without a group. */
export const tombstone_min_ms = 600_000;
/** A group without a member for this long after the log's opening is gone for good, and holds nothing back. */
export const absent_group_ms = 3_600_000;
const slice_records = 500;

/** Returns how many records it dropped. open_ms: for how long the log has been open. */
export async function applyRetention(
  environment: Environment,
  topics: TopicTable,
  now: number,
  open_ms: number,
): Promise<number> {
  let dropped = 0;
  for (const topic of topics.all()) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      environment.refresh();
      const passed = passedByAll(environment, topic, partition, open_ms);
      const { retention_ms } = topic;
      if (retention_ms !== undefined) dropped += await dropExpired(environment, topic, partition, now - retention_ms, passed);
      if (topic.cleanup !== "time")
        dropped += await dropTombstones(environment, topic, partition, now - tombstone_min_ms, passed);
    }
  }
  return dropped;
}

interface Expired {
  readonly place: Buffer;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly stored_bytes: number;
}

/** Looks at a partition's first records: one with a timestamp far ahead doesn't keep those behind it for ever. */
async function dropExpired(
  environment: Environment,
  topic: StoredTopic,
  partition: number,
  cutoff: number,
  passed: number,
): Promise<number> {
  let dropped = 0;
  for (;;) {
    environment.refresh();
    const expired: Expired[] = [];
    let looked_at = 0;
    let start: number | undefined;
    const range = {
      start: recordPlace(topic.id, partition, 0),
      end: recordPlace(topic.id, partition + 1, 0),
      limit: slice_records,
    };
    for (const { key: place, value } of environment.records.getRange(range)) {
      const offset = offsetOfPlace(place);
      const record = readFrame(topic.name, partition, offset, value);
      if (record.timestamp < cutoff && offset < passed) {
        if (looked_at === expired.length) start = offset + 1;
        expired.push({ place: Buffer.from(place), offset, key: record.key, stored_bytes: storedBytes(value.length) });
      }
      looked_at++;
    }
    if (expired.length === 0) return dropped;
    dropped += await environment.write(() => {
      const removed = removeRecords(environment, topic, partition, expired);
      const head_place = partitionPlace(topic.id, partition);
      const head = readPair(environment.heads.get(head_place));
      if (head && start !== undefined) environment.heads.put(head_place, pair(Math.max(head[0], start), head[1]));
      return removed;
    });
    if (expired.length < slice_records) return dropped;
  }
}

async function dropTombstones(
  environment: Environment,
  topic: StoredTopic,
  partition: number,
  cutoff: number,
  passed: number,
): Promise<number> {
  let dropped = 0;
  let from = 0;
  for (;;) {
    environment.refresh();
    const old: Expired[] = [];
    let looked_at = 0;
    const range = {
      start: recordPlace(topic.id, partition, from),
      end: recordPlace(topic.id, partition + 1, 0),
      limit: slice_records,
    };
    for (const { key } of environment.tombstones.getRange(range)) {
      const place = Buffer.from(key);
      const offset = offsetOfPlace(place);
      looked_at++;
      from = offset + 1;
      const value = environment.records.get(place);
      if (!value) continue;
      const record = readFrame(topic.name, partition, offset, value);
      if (record.timestamp >= cutoff || offset >= passed) continue;
      old.push({ place, offset, key: record.key, stored_bytes: storedBytes(value.length) });
    }
    if (old.length > 0) dropped += await environment.write(() => removeRecords(environment, topic, partition, old));
    if (looked_at < slice_records) return dropped;
  }
}

/** Inside a write transaction. What compaction took in the meantime is passed over. */
function removeRecords(environment: Environment, topic: StoredTopic, partition: number, expired: readonly Expired[]): number {
  let removed = 0;
  let freed = 0;
  for (const { place, offset, key, stored_bytes } of expired) {
    if (!environment.records.removeSync(place)) continue;
    removed++;
    freed += stored_bytes;
    if (topic.cleanup === "time" || !key) continue;
    environment.tombstones.remove(place);
    const key_place = keyPlace(topic.id, partition, key);
    if (readPair(environment.keys.get(key_place))?.[0] === offset) environment.keys.remove(key_place);
  }
  environment.addUsedBytes(-freed);
  return removed;
}

/** The offset that every group which commits on this partition has passed. */
function passedByAll(environment: Environment, topic: StoredTopic, partition: number, open_ms: number): number {
  let passed = Number.POSITIVE_INFINITY;
  for (const group of environment.groups.getKeys({})) {
    const committed = readCommitted(environment, group, topic.name, partition);
    if (!committed) continue;
    if (open_ms > absent_group_ms && readGroup(environment, group).members.length === 0) continue;
    passed = Math.min(passed, committed.offset);
  }
  return passed;
}
