import { openKafkaLog } from "@assay/stream/kafka-log";
import { FakeBroker } from "./fake-broker";

it("gives out no source once it is being closed, since nobody would close it", async () => {
  const broker = await FakeBroker.open();
  broker.topics = ["t"];
  try {
    const log = await openKafkaLog({ brokers: [`127.0.0.1:${broker.port}`], client_id: "test" });
    const options = { group: "g", topics: ["t"], from: "earliest", batch_records_max: 1 } as const;
    await log.source(options); // the topic is known from now on
    const late = log.source(options);
    const closed = log.close();
    await expect(late).rejects.toThrow("the log is closed");
    await closed;
  } finally {
    await broker.close();
  }
});
