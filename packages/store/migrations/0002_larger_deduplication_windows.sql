-- A block may be sent again by whoever takes a partition over: after a session's end, a rebalance and a restore, which is minutes, while all other
-- partitions of all stages write into the same tables, 19 blocks a second with 64 partitions. A thousand tokens would be gone by then.

ALTER TABLE assay.rules MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.findings MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.finding_activity MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.finding_activity_hourly MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.outcomes MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.coverage MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.coverage_hourly MODIFY SETTING non_replicated_deduplication_window = 20000;
ALTER TABLE assay.inventory_sections MODIFY SETTING non_replicated_deduplication_window = 20000;
