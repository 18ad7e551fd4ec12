CREATE TABLE IF NOT EXISTS assay.rules ON CLUSTER `assay`
(
    rule_id      LowCardinality(String),
    package      LowCardinality(String),
    title        String,
    description  String,
    author       String,
    severity     LowCardinality(String),
    category     LowCardinality(String),
    scope        LowCardinality(String),
    remediation  String,
    references   Array(String),
    tags         Array(String),
    controls     Map(String, Array(String)),
    platforms    Array(String),
    ruleset      String COMMENT 'Digest of the rule set',
    removed      UInt8 DEFAULT 0,
    version      UInt64 COMMENT 'Event time, ms, from which it is in force'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/assay/rules', '{replica}', version)
ORDER BY rule_id
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS assay.findings ON CLUSTER `assay`
(
    finding_id     String COMMENT 'Hash of rule, host or application, and identity',
    rule_id        LowCardinality(String),
    package        LowCardinality(String),
    category       LowCardinality(String),
    severity       LowCardinality(String),
    severity_rank  UInt8 COMMENT '4 critical … 0 informational',
    title          String,
    host_id        LowCardinality(String) COMMENT 'Empty for a finding on an application',
    host_name      LowCardinality(String),
    application_id LowCardinality(String) COMMENT 'Set for a finding on an application',
    applications   Array(LowCardinality(String)) COMMENT 'Applications of the host when last seen',
    identity       Map(LowCardinality(String), String),
    status         LowCardinality(String) COMMENT 'active, inactive, resolved or closed',
    status_reason  String,
    first_seen     DateTime64(3, 'UTC'),
    last_seen      DateTime64(3, 'UTC'),
    resolved_at    Nullable(DateTime64(3, 'UTC')),
    occurrences    UInt64,
    late           UInt8 COMMENT '1 where a supplement brought it',
    evidence       String COMMENT 'JSON: the latest evidence',
    ruleset        String,
    version        UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/assay/findings', '{replica}', version)
ORDER BY finding_id
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS assay.finding_activity ON CLUSTER `assay`
(
    finding_id     String,
    rule_id        LowCardinality(String),
    package        LowCardinality(String),
    severity       LowCardinality(String),
    host_id        LowCardinality(String),
    application_id LowCardinality(String),
    at             DateTime64(3, 'UTC') COMMENT 'Window start, or the time as of which the state was seen',
    until          DateTime64(3, 'UTC') COMMENT 'Window end, or the same time',
    first          DateTime64(3, 'UTC'),
    last           DateTime64(3, 'UTC'),
    occurrences    UInt64,
    late           UInt8,
    evidence       String COMMENT 'JSON'
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/assay/finding_activity', '{replica}')
PARTITION BY toYYYYMM(at)
ORDER BY (at, rule_id, host_id, finding_id)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS assay.finding_activity_hourly ON CLUSTER `assay`
(
    hour           DateTime('UTC'),
    rule_id        LowCardinality(String),
    severity       LowCardinality(String),
    host_id        LowCardinality(String),
    occurrences    UInt64
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/assay/finding_activity_hourly', '{replica}', occurrences)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, rule_id, severity, host_id)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS assay.finding_activity_hourly_view ON CLUSTER `assay` TO assay.finding_activity_hourly AS
SELECT toStartOfHour(toDateTime(at)) AS hour, rule_id, severity, host_id, sum(occurrences) AS occurrences
FROM assay.finding_activity
GROUP BY hour, rule_id, severity, host_id;

CREATE TABLE IF NOT EXISTS assay.outcomes ON CLUSTER `assay`
(
    rule_id        LowCardinality(String),
    package        LowCardinality(String),
    host_id        LowCardinality(String),
    application_id LowCardinality(String) COMMENT 'Set for a rule on an application',
    outcome        LowCardinality(String) COMMENT 'match, clear, not_applicable, insufficient_evidence or error',
    reason         String,
    as_of          DateTime64(3, 'UTC'),
    period_start   Nullable(DateTime64(3, 'UTC')) COMMENT 'Set for rules of assessment scope: the period is [period_start, as_of)',
    late           UInt8,
    ruleset        String
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/assay/outcomes', '{replica}')
PARTITION BY toYYYYMM(as_of)
ORDER BY (host_id, application_id, rule_id, as_of)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS assay.coverage ON CLUSTER `assay`
(
    host_id          LowCardinality(String),
    host_name        LowCardinality(String),
    agent_version    LowCardinality(String),
    window_start     DateTime64(3, 'UTC'),
    window_end       DateTime64(3, 'UTC'),
    incarnation      UInt64,
    seq_from         UInt64,
    seq_to           UInt64,
    closed_by        LowCardinality(String) COMMENT 'complete, silent or supplement',
    covered_ms       UInt32,
    clock_offset_ms  Int64,
    applications     Array(LowCardinality(String)),
    assessments      Array(LowCardinality(String)),
    tags             Map(LowCardinality(String), String),
    windowed         Map(LowCardinality(String), UInt64) COMMENT 'Events by kind',
    folded           Map(LowCardinality(String), UInt64),
    cut              Map(LowCardinality(String), UInt64),
    duplicates       Map(LowCardinality(String), UInt64),
    dropped          Map(LowCardinality(String), UInt64) COMMENT 'By kind, as the agent told',
    drop_reasons     Map(LowCardinality(String), UInt64),
    collectors       Map(LowCardinality(String), String) COMMENT 'Status, and the reason after a colon',
    received_through DateTime64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/assay/coverage', '{replica}')
PARTITION BY toYYYYMM(window_start)
ORDER BY (host_id, window_start, incarnation, seq_to)
TTL toDateTime(window_start) + INTERVAL 90 DAY
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS assay.coverage_hourly ON CLUSTER `assay`
(
    host_id     LowCardinality(String),
    hour        DateTime('UTC'),
    windows     UInt64,
    supplements UInt64,
    covered_ms  UInt64,
    windowed    UInt64,
    folded      UInt64,
    duplicates  UInt64,
    dropped     UInt64
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/assay/coverage_hourly', '{replica}', (windows, supplements, covered_ms, windowed, folded, duplicates, dropped))
PARTITION BY toYYYYMM(hour)
ORDER BY (host_id, hour)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS assay.coverage_hourly_view ON CLUSTER `assay` TO assay.coverage_hourly AS
SELECT
    host_id,
    toStartOfHour(toDateTime(window_start)) AS hour,
    countIf(closed_by != 'supplement') AS windows,
    countIf(closed_by = 'supplement') AS supplements,
    sumIf(covered_ms, closed_by != 'supplement') AS covered_ms,
    sum(arraySum(mapValues(windowed))) AS windowed,
    sum(arraySum(mapValues(folded))) AS folded,
    sum(arraySum(mapValues(duplicates))) AS duplicates,
    sum(arraySum(mapValues(dropped))) AS dropped
FROM assay.coverage
GROUP BY host_id, hour;

CREATE TABLE IF NOT EXISTS assay.inventory_sections ON CLUSTER `assay`
(
    host_id      LowCardinality(String),
    host_name    LowCardinality(String),
    section      LowCardinality(String),
    status       LowCardinality(String) COMMENT 'collected, partial, absent or unreadable',
    reason       String,
    digest       String,
    collected_at DateTime64(3, 'UTC'),
    content      String COMMENT 'JSON' CODEC(ZSTD(3)),
    version      UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/assay/inventory_sections', '{replica}', version)
ORDER BY (host_id, section)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 2592000, fsync_after_insert = 1, fsync_part_directory = 1;
