ALTER TABLE assay.rules ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.findings ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.finding_activity ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.finding_activity_hourly ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.outcomes ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.coverage ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.coverage_hourly ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;

ALTER TABLE assay.inventory_sections ON CLUSTER `assay` MODIFY SETTING replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 2592000;
