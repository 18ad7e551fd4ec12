-- Optional: raw telemetry as agents sent it, landed by ClickHouse itself from Kafka, for questions that no rule asks. Assay reads none of it.
--
--   clickhouse client --user assay_landing --password --queries-file raw-telemetry.sql
--
-- README.md beside this file says what it needs, what it costs and how it behaves. Each statement can be repeated.

CREATE DATABASE IF NOT EXISTS assay_raw;

-- The topic. Its records are TelemetryBatch and HostSilent, each read by the schema of its own id; a column that the record's schema doesn't
-- have gets its default (input_format_avro_allow_missing_fields), and so does what is null: an absent tls is a tuple of empty values.
--
-- A record is a batch of hundreds of events, so a block is at most 1,000 of them: the default of 65,536 would take gigabytes.
CREATE TABLE IF NOT EXISTS assay_raw.telemetry_topic
(
    host_id          LowCardinality(String),
    host_name        LowCardinality(String),
    agent_version    LowCardinality(String),
    incarnation      UInt64,
    seq              UInt64,
    sent_at          DateTime64(3, 'UTC'),
    observed_from    DateTime64(3, 'UTC'),
    complete_through DateTime64(3, 'UTC'),
    tags             Map(String, String),
    processes        Array(Tuple(
        at                  DateTime64(3, 'UTC'),
        pid                 UInt32,
        parent_pid          UInt32,
        started_at          DateTime64(3, 'UTC'),
        already_running     Bool,
        image               String,
        image_deleted       Bool,
        command_line        String,
        current_directory   String,
        user                String,
        parent_image        String,
        parent_command_line String,
        parent_user         String,
        parent_listens      Array(UInt16),
        ancestors           Array(String))),
    connections      Array(Tuple(
        at                  DateTime64(3, 'UTC'),
        opened_at           DateTime64(3, 'UTC'),
        protocol            String,
        side                String,
        source_address      String,
        source_port         UInt16,
        destination_address String,
        destination_port    UInt16,
        pid                 UInt32,
        image               String,
        command_line        String,
        user                String,
        ancestors           Array(String))),
    listeners        Array(Tuple(
        at                   DateTime64(3, 'UTC'),
        protocol             String,
        address              String,
        port                 UInt16,
        pid                  UInt32,
        image                String,
        command_line         String,
        user                 String,
        application_protocol String,
        channel              String,
        tls                  Tuple(
            version               String,
            cipher                String,
            certificate_subject   String,
            certificate_issuer    String,
            certificate_not_after DateTime64(3, 'UTC'),
            self_signed           Bool))),
    collectors       Array(Tuple(
        collector      String,
        status         String,
        reason         String,
        missing_fields Array(String))),
    drops            Array(Tuple(
        kind   String,
        reason String,
        count  UInt64)),
    silent_since     DateTime64(3, 'UTC') COMMENT 'HostSilent',
    at               DateTime64(3, 'UTC') COMMENT 'HostSilent',
    timeout_ms       UInt64 COMMENT 'HostSilent; 0 in a TelemetryBatch'
)
ENGINE = Kafka(assay_kafka)
SETTINGS
    kafka_format = 'AvroConfluent',
    kafka_handle_error_mode = 'stream',
    kafka_num_consumers = 1,
    kafka_max_block_size = 1000,
    kafka_flush_interval_ms = 5000,
    input_format_avro_allow_missing_fields = 1,
    input_format_null_as_default = 1;

-- One row a record. The consumer delivers at least once: a record that comes again has the same key, and counts once when read with FINAL.
CREATE TABLE IF NOT EXISTS assay_raw.telemetry
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(accepted_at)
ORDER BY (host_id, accepted_at, topic_partition, topic_offset)
TTL toDateTime(accepted_at) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1
EMPTY AS
SELECT
    assumeNotNull(_timestamp_ms) AS accepted_at,
    toUInt32(_partition) AS topic_partition,
    _offset AS topic_offset,
    CAST(if(timeout_ms > 0, 'HostSilent', 'TelemetryBatch'), 'LowCardinality(String)') AS record,
    *
FROM assay_raw.telemetry_topic;

CREATE MATERIALIZED VIEW IF NOT EXISTS assay_raw.telemetry_view TO assay_raw.telemetry AS
SELECT
    assumeNotNull(_timestamp_ms) AS accepted_at,
    toUInt32(_partition) AS topic_partition,
    _offset AS topic_offset,
    if(timeout_ms > 0, 'HostSilent', 'TelemetryBatch') AS record,
    *
FROM assay_raw.telemetry_topic
WHERE _error = '';

-- What could not be read, with its bytes: it doesn't stop what comes behind it.
CREATE TABLE IF NOT EXISTS assay_raw.telemetry_errors
(
    accepted_at     DateTime64(3, 'UTC'),
    topic_partition UInt32,
    topic_offset    UInt64,
    reason          String,
    bytes           String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(accepted_at)
ORDER BY (topic_partition, topic_offset, accepted_at)
TTL toDateTime(accepted_at) + INTERVAL 14 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS assay_raw.telemetry_errors_view TO assay_raw.telemetry_errors AS
SELECT
    assumeNotNull(_timestamp_ms) AS accepted_at,
    toUInt32(_partition) AS topic_partition,
    _offset AS topic_offset,
    _error AS reason,
    _raw_message AS bytes
FROM assay_raw.telemetry_topic
WHERE _error != '';
