/**
 * The one place that knows kafkajs from inside: connections, TLS, SASL, metadata and the requests of groups are its own; records are
 * encoded and decoded here (record-batch.ts). docs/adr/0008 says why its producer and consumer aren't used.
 *
 * A client is one set of connections, two to each broker: one for fetches, one for everything else. A broker answers a connection's
 * requests in order, so a member whose JoinGroup waits for the others has a client of its own.
 */
import type { Socket } from "node:net";
import { connect as connectSocket, isIP } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { Kafka, type Logger, logLevel, type SASLOptions } from "kafkajs";
import { type KafkaError, transient } from "./errors";
import type { KafkaLogOptions } from "./options";
import { WireReader, WireWriter } from "./wire";
import { withinTime } from "./within-time";

/** Without an answer for this long the request has failed, with the time added for which the broker was told that it may wait. */
export const request_ms = 10_000;
/** How long the broker may wait for in-sync replicas. */
const replication_ms = 20_000;
const connection_ms = 10_000;
const metadata_age_ms = 300_000;
const keep_alive_ms = 60_000;

export interface FetchPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Fetched extends FetchPlace {
  readonly error_code: number;
  /** -1 where the broker doesn't say. */
  readonly end: number;
  readonly bytes: Buffer;
}

export interface FetchLimits {
  readonly wait_ms: number;
  readonly bytes_max: number;
  readonly partition_bytes_max: number;
}

export interface ProduceBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface Produced {
  readonly topic: string;
  readonly partition: number;
  readonly error_code: number;
  readonly base_offset: number;
}

export class KafkaClient {
  private readonly cluster: Cluster;
  private readonly sockets = new Set<Socket>();
  private readonly topics = new Set<string>();
  private closed = false;

  constructor(options: KafkaLogOptions, topics: Iterable<string> = []) {
    guardIdleTimer();
    for (const topic of topics) this.topics.add(topic);
    this.cluster = new ClusterOfKafkajs({
      ...connectionSettings(options),
      logger: new Kafka({ brokers: [...options.brokers], logLevel: logLevel.NOTHING }).logger(), // what it says comes back as errors
      socketFactory: (to) => this.openSocket(to),
      enforceRequestTimeout: true,
      metadataMaxAge: metadata_age_ms,
      retry: { retries: 0 },
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
      isolationLevel: read_uncommitted,
    });
    const { brokerPool } = this.cluster;
    const createBroker = brokerPool.createBroker.bind(brokerPool);
    brokerPool.createBroker = (of) => mended(createBroker(of));
  }

  /** Connects where it isn't, and learns leaders anew. */
  async refresh(): Promise<void> {
    await unwrapped(async () => {
      this.failIfClosed();
      await this.cluster.connect();
      if ([...this.topics].some((topic) => !this.cluster.targetTopics.has(topic))) {
        await this.cluster.addMultipleTargetTopics([...this.topics]);
      } else await this.cluster.refreshMetadata();
    });
  }

  /** How many partitions each topic has; undefined for one that doesn't exist. From now on their leaders are known. */
  async partitionCounts(topics: readonly string[]): Promise<Map<string, number | undefined>> {
    for (const topic of topics) this.topics.add(topic);
    await this.refresh();
    return new Map(topics.map((topic) => [topic, this.partitionCount(topic)]));
  }

  partitionCount(topic: string): number | undefined {
    const { metadata } = this.cluster.brokerPool;
    const found = metadata?.topicMetadata.find((of) => of.topic === topic);
    return found && found.topicErrorCode === 0 ? found.partitionMetadata.length : undefined;
  }

  /** The id of the partition's leader; undefined while there is none, or none is known. */
  leader(topic: string, partition: number): number | undefined {
    const { metadata } = this.cluster.brokerPool;
    const of_topic = metadata?.topicMetadata.find((of) => of.topic === topic);
    const leader = of_topic?.partitionMetadata.find((of) => of.partitionId === partition)?.leader;
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  async broker(node_id: number): Promise<Broker> {
    return unwrapped(() => {
      this.failIfClosed();
      return this.cluster.findBroker({ nodeId: String(node_id) });
    });
  }

  async leaderBroker(topic: string, partition: number): Promise<Broker> {
    const known = this.leader(topic, partition);
    if (known === undefined) await this.partitionCounts([topic]);
    const leader = known ?? this.leader(topic, partition);
    if (leader === undefined) throw transient(`partition ${partition} of ${topic} has no leader`);
    return this.broker(leader);
  }

  async coordinator(group: string): Promise<Broker> {
    return unwrapped(async () => {
      this.failIfClosed();
      if (!this.cluster.isConnected()) await this.refresh();
      const any = await this.cluster.brokerPool.findConnectedBroker();
      const { coordinator } = await any.findGroupCoordinator({ groupId: group, coordinatorType: 0 });
      return this.cluster.findBroker({ nodeId: String(coordinator.nodeId) });
    });
  }

  async controller(): Promise<Broker> {
    return unwrapped(async () => {
      this.failIfClosed();
      if (!this.cluster.isConnected()) await this.refresh();
      return this.cluster.findControllerBroker();
    });
  }

  /** Returns what the brokers say of each. */
  async createTopics(
    topics: readonly NewTopic[],
  ): Promise<readonly { topic: string; errorCode: number; errorMessage: string | null }[]> {
    const controller = await this.controller();
    const request = { topics, validateOnly: false, timeout: request_ms / 2 };
    const { topicErrors } = await unwrapped(() =>
      sendUnjudged<{ topicErrors: { topic: string; errorCode: number; errorMessage: string | null }[] }>(
        controller,
        "CreateTopics",
        request,
      ),
    );
    return topicErrors;
  }

  /** A producer id that nobody has had. */
  async newProducerId(): Promise<{ readonly producer_id: bigint; readonly producer_epoch: number }> {
    return unwrapped(async () => {
      const broker = await this.controller();
      const { producerId, producerEpoch } = await broker.initProducerId({ transactionTimeout: 60_000 });
      return { producer_id: BigInt(producerId), producer_epoch: producerEpoch };
    });
  }

  /** Earliest (-2) or end (-1) of partitions that the one broker leads. */
  async offsets(topic: string, partition: number, timestamp: typeof earliest_offset | typeof end_offset): Promise<number> {
    const broker = await this.leaderBroker(topic, partition);
    const asked = [{ topic, partitions: [{ partition, timestamp }] }];
    const { responses } = await unwrapped(() => broker.listOffsets({ isolationLevel: read_uncommitted, topics: asked }));
    const offset = responses[0]?.partitions[0]?.offset;
    if (offset === undefined) throw transient(`the broker left out partition ${partition} of ${topic} from its offsets`);
    return Number(offset);
  }

  async fetch(node_id: number, places: readonly FetchPlace[], limits: FetchLimits): Promise<readonly Fetched[]> {
    const broker = await this.broker(node_id);
    const by_place = new Map(places.map((place) => [`${place.topic}/${place.partition}`, place]));
    const answers = await this.send(broker, fetch_api, {
      encode: () => encodeFetch(places, limits),
      decode: decodeFetched,
      wait_ms: limits.wait_ms,
    });
    return answers.flatMap((answer) => {
      const place = by_place.get(`${answer.topic}/${answer.partition}`);
      return place ? [{ ...answer, offset: place.offset }] : [];
    });
  }

  /** acks: all in-sync replicas. */
  async produce(node_id: number, batches: readonly ProduceBatch[]): Promise<readonly Produced[]> {
    const broker = await this.broker(node_id);
    return this.send(broker, produce_api, {
      encode: () => encodeProduce(batches),
      decode: decodeProduced,
      wait_ms: replication_ms,
    });
  }

  /** Unlike kafkajs' own, tells the member id that the group gives, so that it isn't lost with the connection. */
  async joinGroup(broker: Broker, request: JoinRequest): Promise<JoinAnswer | { readonly member_id_given: string }> {
    try {
      return await unwrapped(() =>
        broker.connectionPool.send<JoinAnswer>(
          broker.lookupRequest(requests.apiKeys.JoinGroup, requests.JoinGroup)({ ...request, protocolType: "consumer" }),
        ),
      );
    } catch (error) {
      const { type, memberId } = error as KafkaError & { memberId?: string };
      if (type === "MEMBER_ID_REQUIRED" && memberId) return { member_id_given: memberId };
      throw error;
    }
  }

  /** Ends all connections; the next request opens new ones. What waits for an answer is rejected. */
  async reset(why: string): Promise<void> {
    const sockets = [...this.sockets];
    for (const socket of sockets) socket.destroy(new Error(why));
    await new Promise((resolve) => setImmediate(resolve));
    await withinTime(this.cluster.disconnect(), connection_ms); // it waits for answers, of which there are none any more
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.reset("the log is closed");
    for (const socket of this.sockets) socket.destroy(); // one that was being opened meanwhile
  }

  private async send<T>(broker: Broker, api: Api, { encode, decode, wait_ms }: Exchange<T>): Promise<T> {
    const definition = {
      versions: [String(api.version)],
      protocol: ({ version }: { version: number }) => {
        if (version !== api.version) throw new Error(`the broker is too old: it has ${api.name} ${version}, not ${api.version}`);
        return () => ({
          request: {
            apiKey: api.key,
            apiName: api.name,
            apiVersion: api.version,
            encode: async () => {
              const buffer = encode();
              return { buf: buffer, buffer }; // the shape of kafkajs' Encoder
            },
          },
          response: { decode: async (bytes: Buffer) => ({ answer: decode(bytes) }), parse: async (decoded: unknown) => decoded },
          requestTimeout: request_ms + wait_ms,
        });
      },
    };
    const { answer } = await unwrapped(() =>
      broker.connectionPool.send<{ answer: T }>(broker.lookupRequest(api.key, definition)({})),
    );
    return answer;
  }

  private openSocket({ host, port, ssl, onConnect }: SocketTarget): Socket {
    const socket = ssl
      ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
      : connectSocket({ host, port }, onConnect);
    socket.setKeepAlive(true, keep_alive_ms);
    socket.setNoDelay(true);
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    if (this.closed) socket.destroy(new Error("the log is closed"));
    return socket;
  }

  private failIfClosed(): void {
    if (this.closed) throw new Error("the log is closed");
  }
}

/** As kafkajs takes them. */
export function connectionSettings({ brokers, client_id, tls, sasl }: KafkaLogOptions): ConnectionSettings {
  const ssl = tls && {
    ...(tls.ca && { ca: tls.ca }),
    ...(tls.certificate && { cert: tls.certificate }),
    ...(tls.key && { key: tls.key }),
  };
  return {
    brokers: [...brokers],
    clientId: client_id,
    ...(ssl && { ssl }),
    ...(sasl && { sasl: sasl as SASLOptions }),
    connectionTimeout: connection_ms,
    authenticationTimeout: connection_ms,
    requestTimeout: request_ms,
  };
}

export interface ConnectionSettings {
  readonly brokers: string[];
  readonly clientId: string;
  readonly ssl?: ConnectionOptions;
  readonly sasl?: SASLOptions;
  readonly connectionTimeout: number;
  readonly authenticationTimeout: number;
  readonly requestTimeout: number;
}

export const earliest_offset = -2;
export const end_offset = -1;

/** A broker's error by its number, as kafkajs names it. */
export function errorOfCode(code: number): KafkaError {
  return protocolErrors.createErrorFromCode(code);
}

export interface Broker {
  readonly nodeId: number;
  readonly connectionPool: ConnectionPool;
  isConnected(): boolean;
  metadata(topics: readonly string[]): Promise<Metadata>;
  describeConfigs(request: { resources: readonly { type: number; name: string; configNames: readonly string[] }[] }): Promise<{
    resources: readonly { resourceName: string; configEntries: readonly { configName: string; configValue: string }[] }[];
  }>;
  lookupRequest(api_key: number, definition: unknown): (request: object) => object;
  initProducerId(request: { transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>;
  listOffsets(request: {
    isolationLevel: number;
    topics: readonly { topic: string; partitions: readonly { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: readonly { partitions: readonly { partition: number; offset: string }[] }[] }>;
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<{ coordinator: { nodeId: number } }>;
  syncGroup(request: {
    groupId: string;
    generationId: number;
    memberId: string;
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[];
  }): Promise<{ memberAssignment: Buffer }>;
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>;
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: readonly {
      topic: string;
      partitions: readonly { partition: number; offset: string; metadata: string }[];
    }[];
  }): Promise<unknown>;
  offsetFetch(request: {
    groupId: string;
    topics: readonly { topic: string; partitions: readonly { partition: number }[] }[];
  }): Promise<{
    responses: readonly {
      topic: string;
      partitions: readonly { partition: number; offset: string; metadata: string | null }[];
    }[];
  }>;
}

export interface JoinRequest {
  readonly groupId: string;
  readonly sessionTimeout: number;
  readonly rebalanceTimeout: number;
  readonly memberId: string;
  readonly groupProtocols: readonly { name: string; metadata: Buffer }[];
}

export interface JoinAnswer {
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly members: readonly { memberId: string; memberMetadata: Buffer }[];
}

export interface NewTopic {
  readonly topic: string;
  readonly numPartitions: number;
  readonly replicationFactor: number;
  readonly configEntries: readonly { readonly name: string; readonly value: string }[];
}

interface ConnectionPool {
  readonly pool: readonly { isConnected(): boolean; connect(): Promise<unknown> }[];
  getConnection(index?: number): Promise<unknown>;
  send<T>(request: object): Promise<T>;
}

interface Metadata {
  readonly topicMetadata: readonly {
    readonly topic: string;
    readonly topicErrorCode: number;
    readonly partitionMetadata: readonly { readonly partitionId: number; readonly leader: number }[];
  }[];
}

interface Cluster {
  readonly targetTopics: ReadonlySet<string>;
  readonly brokerPool: {
    createBroker(of: object): Broker;
    findConnectedBroker(): Promise<Broker>;
    readonly metadata: Metadata | null;
  };
  isConnected(): boolean;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  findBroker(of: { nodeId: string }): Promise<Broker>;
  findControllerBroker(): Promise<Broker>;
}

interface SocketTarget {
  readonly host: string;
  readonly port: number;
  readonly ssl?: ConnectionOptions;
  readonly onConnect: () => void;
}

interface ClusterOptions extends ConnectionSettings {
  readonly logger: Logger;
  readonly socketFactory: (to: SocketTarget) => Socket;
  readonly enforceRequestTimeout: boolean;
  readonly metadataMaxAge: number;
  readonly retry: { readonly retries: number };
  readonly allowAutoTopicCreation: boolean;
  readonly maxInFlightRequests: null;
  readonly isolationLevel: number;
}

interface Api {
  readonly key: number;
  readonly name: string;
  readonly version: number;
}

interface Exchange<T> {
  readonly encode: () => Buffer;
  readonly decode: (bytes: Buffer) => T;
  readonly wait_ms: number;
}

/** Nothing of Assay's writes in transactions. */
const read_uncommitted = 0;
const produce_api: Api = { key: 0, name: "Produce", version: 7 };
const fetch_api: Api = { key: 1, name: "Fetch", version: 11 };

type RequestName = "JoinGroup" | "Metadata" | "CreateTopics";

const ClusterOfKafkajs = require("kafkajs/src/cluster") as new (options: ClusterOptions) => Cluster;
const RequestQueue = require("kafkajs/src/network/requestQueue") as {
  prototype: { pending: readonly unknown[]; scheduleCheckPendingRequests(): void; guarded?: true };
};
const requests = {
  ...(require("kafkajs/src/protocol/requests") as { requests: Record<RequestName, unknown> }).requests,
  apiKeys: require("kafkajs/src/protocol/requests/apiKeys") as Record<RequestName, number>,
};
const protocolErrors = require("kafkajs/src/protocol/error") as { createErrorFromCode(code: number): KafkaError };

/**
 * kafkajs' request queue sets a timer again and again while nothing waits in it, with a delay below zero, which Node makes 1 ms. What
 * waits sets the timer itself.
 */
function guardIdleTimer(): void {
  const { prototype } = RequestQueue;
  if (prototype.guarded) return;
  prototype.guarded = true;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function (this: typeof prototype) {
    if (this.pending.length > 0) schedule.call(this);
  };
}

/**
 * Three faults of kafkajs: requests that meet an ended connection at the same time each open one, and leave all but the last behind; one
 * topic or partition in trouble makes all metadata an error; and a broker that took a connection and then didn't answer counts as
 * connected, so that everything fails until that connection ends.
 */
function mended(broker: Broker): Broker {
  const { connectionPool } = broker;
  const opening = new Map<number, Promise<unknown>>();
  connectionPool.getConnection = async (index = 0) => {
    const connection = connectionPool.pool[index];
    if (!connection) throw new Error(`connection ${index} of ${connectionPool.pool.length}`);
    if (!connection.isConnected()) {
      let open = opening.get(index);
      if (!open) {
        open = connection.connect().finally(() => opening.delete(index));
        opening.set(index, open);
      }
      await open;
    }
    return connection;
  };
  broker.metadata = (topics) =>
    sendUnjudged<Metadata>(broker, "Metadata", { topics: [...topics], allowAutoTopicCreation: false });
  const lookupWhileUnknown = broker.lookupRequest;
  const isConnected = broker.isConnected.bind(broker);
  broker.isConnected = () => isConnected() && broker.lookupRequest !== lookupWhileUnknown;
  return broker;
}

/** kafkajs' request, with all that is in the answer: not only the first error. */
function sendUnjudged<T>(broker: Broker, api: "Metadata" | "CreateTopics", request: object): Promise<T> {
  const made = broker.lookupRequest(requests.apiKeys[api], requests[api])(request) as { readonly response: object };
  return broker.connectionPool.send<T>({ ...made, response: { ...made.response, parse: async (data: T) => data } });
}

/** kafkajs wraps an error after its own retries, of which it is told to make none: what counts is the error within. */
async function unwrapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    let within = error as KafkaError;
    while (/^KafkaJSN(umberOfRetriesExceeded|onRetriableError)$/.test(within.name) && within.cause instanceof Error) {
      within = within.cause;
    }
    throw within;
  }
}

function encodeFetch(places: readonly FetchPlace[], limits: FetchLimits): Buffer {
  const writer = new WireWriter()
    .int32(-1) // replica: a client
    .int32(limits.wait_ms)
    .int32(1) // bytes, at least, before the wait is over
    .int32(limits.bytes_max)
    .raw(Buffer.from([read_uncommitted]))
    .int32(0) // no session
    .int32(-1);
  return writer
    .array(byTopic(places), ({ topic, items }) => {
      writer.string(topic).array(items, ({ partition, offset }) => {
        writer.int32(partition).int32(-1).raw(int64(offset)).raw(int64(-1)).int32(limits.partition_bytes_max);
      });
    })
    .int32(0) // forgotten topics
    .string("") // rack
    .finish();
}

function decodeFetched(bytes: Buffer): readonly Omit<Fetched, "offset">[] {
  const reader = new WireReader(bytes);
  reader.int32(); // throttle
  const error_code = reader.int16();
  if (error_code !== 0) throw errorOfCode(error_code);
  reader.int32(); // session
  const answers = reader.array(() => {
    const topic = reader.string() ?? "";
    return reader.array(() => {
      const partition = reader.int32();
      const code = reader.int16();
      const end = reader.int64();
      reader.int64(); // last stable offset
      reader.int64(); // start
      reader.array(() => reader.slice(16)); // aborted transactions
      reader.int32(); // preferred replica
      return { topic, partition, error_code: code, end, bytes: reader.bytes32() };
    });
  });
  return answers.flat();
}

function encodeProduce(batches: readonly ProduceBatch[]): Buffer {
  const writer = new WireWriter()
    .string(null) // transaction
    .int16(-1) // acks: all
    .int32(replication_ms);
  return writer
    .array(byTopic(batches), ({ topic, items }) => {
      writer.string(topic).array(items, ({ partition, bytes }) => {
        writer.int32(partition).int32(bytes.length).raw(bytes);
      });
    })
    .finish();
}

function decodeProduced(bytes: Buffer): readonly Produced[] {
  const reader = new WireReader(bytes);
  const answers = reader.array(() => {
    const topic = reader.string() ?? "";
    return reader.array(() => {
      const partition = reader.int32();
      const error_code = reader.int16();
      const base_offset = reader.int64();
      reader.int64(); // append time
      reader.int64(); // start
      return { topic, partition, error_code, base_offset };
    });
  });
  return answers.flat();
}

function byTopic<T extends { readonly topic: string }>(items: readonly T[]): { topic: string; items: T[] }[] {
  const grouped = new Map<string, T[]>();
  for (const item of items) {
    const same = grouped.get(item.topic);
    if (same) same.push(item);
    else grouped.set(item.topic, [item]);
  }
  return [...grouped].map(([topic, of_topic]) => ({ topic, items: of_topic }));
}

function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
