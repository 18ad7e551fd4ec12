CREATE TABLE IF NOT EXISTS assay.migrations ON CLUSTER `assay`
(
    number     UInt32,
    name       String,
    checksum   String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/assay/migrations', '{replica}')
ORDER BY number
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;
