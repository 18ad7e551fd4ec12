import { record_bytes_max } from "@assay/stream/kafka/prepare-records";
import { contract_partitions, describeLogContract } from "../packages/stream/test/log-contract";
import { TestLogs } from "./kafka-test-logs";
import { testBrokers } from "./test-servers";

describeLogContract("the log on Kafka", async () => {
  const logs = new TestLogs(testBrokers());
  let log = await logs.open({ partitions: contract_partitions });
  return {
    log,
    record_bytes_max,
    rebalance_ms: 15_000,
    async reopen(partitions = contract_partitions) {
      await log.close();
      log = await logs.open({ partitions });
      return log;
    },
    dispose: () => logs.dispose(),
  };
});
