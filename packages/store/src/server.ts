/** What a ClickHouse server must be for Assay to write to it; each check rejects with what to do. */
import type { Store } from "./client";

/**
 * 24.8 is the first long-term release in which a block's token reaches the tables behind views whatever the view groups (ClickHouse's change
 * 61601): before it, a repeated block could miss or double rows in the hourly tables. Assay is tested with 26.7.
 */
export const clickhouse_version_min = "24.8";

export async function requireVersion(store: Store): Promise<void> {
  const [row] = await store.query<{ version: string }>("SELECT version() AS version");
  const version = row?.version ?? "";
  if (older(version, clickhouse_version_min))
    throw new Error(
      `the ClickHouse server has version ${version}; the oldest that drops repeated blocks behind views is ${clickhouse_version_min} (clickhouse_version_min)`,
    );
}

/** What is there must be of the kind asked for: CREATE … IF NOT EXISTS would leave tables of the other kind as they are. */
export async function requireLayout(store: Store, cluster: string | undefined): Promise<void> {
  const [table] = await store.query<{ engine: string }>(
    "SELECT engine FROM system.tables WHERE database = 'assay' AND name = 'migrations'",
  );
  const replicated = table?.engine.startsWith("Replicated");
  if (cluster === undefined) {
    if (replicated) throw new Error("the store's tables are replicated: name their cluster (ASSAY_CLICKHOUSE_CLUSTER)");
    return;
  }
  if (replicated === false)
    throw new Error(
      `the store's tables are those of one server, not of the cluster ${cluster}: name no cluster (ASSAY_CLICKHOUSE_CLUSTER), or begin with an empty store`,
    );
  await requireOneShard(store, cluster);
}

/** Rows aren't spread over shards: one would have them and the others nothing. */
async function requireOneShard(store: Store, cluster: string): Promise<void> {
  const [found] = await store.query<{ shards: number }>(
    "SELECT uniqExact(shard_num) AS shards FROM system.clusters WHERE cluster = {cluster: String}",
    { cluster },
  );
  const shards = found?.shards ?? 0;
  if (shards === 1) return;
  const known = await store.query<{ cluster: string }>("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster");
  const names = known.map((row) => row.cluster).join(", ") || "none";
  throw new Error(
    shards === 0
      ? `the ClickHouse server knows no cluster ${cluster} (ASSAY_CLICKHOUSE_CLUSTER); it knows: ${names}`
      : `the cluster ${cluster} has ${shards} shards (ASSAY_CLICKHOUSE_CLUSTER); Assay's tables need one of a single shard with replicas`,
  );
}

function older(version: string, than: string): boolean {
  const [year = 0, month = 0] = version.split(".").map(Number);
  const [year_min = 0, month_min = 0] = than.split(".").map(Number);
  return year < year_min || (year === year_min && month < month_min);
}
