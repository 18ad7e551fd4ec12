/** Topics against a broker of a cluster that is as it is told to be. */
import type { TopicDefinition } from "@assay/schemas/topics";
import type { KafkaClient } from "@assay/stream/kafka/client";
import { errorOfCode, type NewTopic } from "@assay/stream/kafka/kafkajs";
import { Patience } from "@assay/stream/kafka/patience";
import { Topics, topicSettings } from "@assay/stream/kafka/topics";
import { definition } from "./log-contract";

const cluster_authorization_failed = 31;
const topic = definition("t");

let created: NewTopic[];
let brokers: number;
let replicas: number;
let default_factor: number | Error;
/** Of the topic, besides what it is created with. */
let found: Record<string, string>;
let told: { readonly fields: object; readonly message: string }[];

beforeEach(() => {
  created = [];
  brokers = 3;
  replicas = 3;
  default_factor = 3;
  found = {};
  told = [];
});

type DescribeRequest = { readonly resources: readonly { readonly type: number; readonly name: string }[] };

function open(replication_factor?: number, exists = false): Topics {
  const broker = {
    nodeId: 2,
    lookupRequest: () => (request: object) => request,
    connectionPool: {
      send: async ({ topics }: { topics: NewTopic[] }) => {
        created.push(...topics);
        return { topicErrors: topics.map((each) => ({ topic: each.topic, errorCode: 0, errorMessage: null })) };
      },
    },
    async describeConfigs({ resources: [of] }: DescribeRequest) {
      const broker_type = 4;
      if (of?.type === broker_type) {
        if (default_factor instanceof Error) throw default_factor;
        expect(of.name).toBe("2"); // only itself
        return described("2", { "default.replication.factor": String(default_factor) });
      }
      const settings = created[0]?.configEntries.map(({ name, value }) => [name, value]) ?? [...topicSettings(topic)];
      return described("t", { ...Object.fromEntries(settings), ...found });
    },
  };
  const client = {
    partitionCounts: async () => new Map([["t", exists || created.length > 0 ? 4 : undefined]]),
    leader: () => 1,
    replication: () => ({ brokers, factor: replicas }),
    controller: async () => broker,
    refresh: async () => undefined,
  } as unknown as KafkaClient;
  const tell = (fields: object, message: string) => void told.push({ fields, message });
  const logger = { info: () => undefined, warn: tell, error: tell };
  const options = { brokers: ["b:1"], client_id: "test", partitions: 4, logger };
  return new Topics(
    { ...options, ...(replication_factor !== undefined && { replication_factor }) },
    client,
    new Patience(100, undefined),
  );
}

function described(resourceName: string, settings: Record<string, string>) {
  const configEntries = Object.entries(settings).map(([configName, configValue]) => ({ configName, configValue }));
  return { resources: [{ resourceName, configEntries }] };
}

function createdSetting(wanted: string): string | undefined {
  return created[0]?.configEntries.find(({ name }) => name === wanted)?.value;
}

describe("a topic that is created", () => {
  it.each([
    ["asked for", 3, 1],
    ["asked for in greater number", 5, 1],
    ["the brokers' default", undefined, 3],
  ])("waits for two replicas where three are %s", async (_name, asked, by_default) => {
    default_factor = by_default;
    await open(asked).ensure([topic]);
    expect(created).toMatchObject([{ topic: "t", replicationFactor: asked ?? -1 }]);
    expect(createdSetting("min.insync.replicas")).toBe("2");
    expect(told).toEqual([]);
  });

  it.each([
    ["asked for", 1, 3],
    ["the brokers' default", undefined, 2],
  ])(
    "is left to the brokers' choice where fewer are %s, and told on a cluster that could do better",
    async (_name, asked, by_default) => {
      default_factor = by_default;
      replicas = asked ?? by_default;
      await open(asked).ensure([topic]);
      expect(createdSetting("min.insync.replicas")).toBeUndefined();
      expect(told).toMatchObject([{ fields: { topic: "t", what: "replication.factor", wanted: "3", found: String(replicas) } }]);
    },
  );

  it("is created all the same without the right to see the brokers' default", async () => {
    default_factor = errorOfCode(cluster_authorization_failed);
    found = { "min.insync.replicas": "1" };
    await open().ensure([topic]);
    expect(createdSetting("min.insync.replicas")).toBeUndefined();
    expect(told.map(({ message }) => message)).toEqual([
      expect.stringMatching(/don't tell their default.replication.factor/),
      "a topic's setting isn't as Assay creates it",
    ]);
  });
});

describe("a topic that is there", () => {
  it("is told where its records may be lost with one broker, if there are three", async () => {
    found = { "min.insync.replicas": "1" };
    const differences = async (of_brokers: number, factor: number) => {
      brokers = of_brokers;
      replicas = factor;
      return (await open(undefined, true).check([topic]))[0]?.differences;
    };
    expect(await differences(3, 3)).toEqual([{ what: "min.insync.replicas", wanted: "2", found: "1", fatal: false }]);
    expect(await differences(4, 2)).toEqual([{ what: "replication.factor", wanted: "3", found: "2", fatal: false }]);
    expect(await differences(2, 2)).toEqual([]);
    found = { "min.insync.replicas": "2" };
    expect(await differences(3, 3)).toEqual([]);
  });

  it("is refused where it forgets what was superseded too soon, and not where it keeps it longer", async () => {
    const inventory: TopicDefinition = definition("t", { cleanup: "compact_and_time" });
    found = { ...Object.fromEntries(topicSettings(inventory)), "min.compaction.lag.ms": "0" };
    await expect(open(undefined, true).ensure([inventory])).rejects.toThrow(/t has min.compaction.lag.ms=0, where 86400000/);
    found = { ...found, "min.compaction.lag.ms": "172800000" };
    await open(undefined, true).ensure([inventory]);
  });

  it("with another partition count is refused, and the way out is named", async () => {
    const topics = open(undefined, true);
    await expect(topics.ensure([definition("t", { partitioning: "single" })])).rejects.toThrow(
      /t has 4 partitions and 1 are asked for .* To change it, .* assay topics check tells/,
    );
  });
});
