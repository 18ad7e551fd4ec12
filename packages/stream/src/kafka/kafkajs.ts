/**
 * What is used of kafkajs' inside (its version is pinned), typed, and its faults, mended: with connections.ts and login.ts all that reaches
 * into it.
 */
import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { Kafka, type Logger, logLevel, type Mechanism } from "kafkajs";
import { type ConnectionPool, mendConnections, type OnSilent, tellingSilence } from "./connections";
import type { KafkaError } from "./errors";
import { loginBy } from "./login";
import type { KafkaLogOptions } from "./options";

/** Without an answer for this long a request has failed, and its connection with it. What the broker was told that it may wait is added. */
export const request_ms = 10_000;
export const connection_ms = 10_000;
/** A connection is opened anew so long before its login ends. */
const login_margin_ms = 1_000;
/** Leaders are learnt anew after so long, also where nothing has failed. */
export const metadata_age_ms = 300_000;
/** Nothing of Assay's writes in transactions. */
export const read_uncommitted = 0;

export interface Connecting {
  readonly openSocket: (to: SocketTarget) => Socket;
  readonly onSilent: OnSilent;
}

export function openCluster(options: KafkaLogOptions, { openSocket, onSilent }: Connecting): Cluster {
  guardIdleTimer();
  const cluster = new ClusterOfKafkajs({
    ...connectionSettings(options),
    logger: new Kafka({ brokers: [...options.brokers], logLevel: logLevel.NOTHING }).logger(), // what it says comes back as errors
    socketFactory: openSocket,
    enforceRequestTimeout: true,
    metadataMaxAge: metadata_age_ms,
    retry: { retries: 0 },
    allowAutoTopicCreation: false,
    maxInFlightRequests: null,
    isolationLevel: read_uncommitted,
  });
  const { brokerPool } = cluster;
  const { build } = brokerPool.connectionPoolBuilder;
  brokerPool.connectionPoolBuilder = { build: async (to) => mendConnections(await build(to), onSilent) };
  const createBroker = brokerPool.createBroker.bind(brokerPool);
  brokerPool.createBroker = (of) => mended(createBroker(of), onSilent);
  return cluster;
}

/** A request of which the form is our own. */
export interface OwnRequest<T> {
  readonly api: { readonly key: number; readonly name: string; readonly version: number };
  readonly wait_ms: number;
  readonly encode: () => Buffer;
  readonly decode: (bytes: Buffer) => T;
}

export async function sendOwn<T>(broker: Broker, { api, wait_ms, encode, decode }: OwnRequest<T>): Promise<T> {
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

/** Unlike kafkajs' own, tells the member id that the group gives, so that it isn't lost with the connection. */
export async function sendJoinGroup(
  broker: Broker,
  request: JoinRequest,
): Promise<JoinAnswer | { readonly member_id_given: string }> {
  const { apiKeys, JoinGroup } = requests;
  try {
    return await unwrapped(() =>
      broker.connectionPool.send<JoinAnswer>(
        broker.lookupRequest(apiKeys.JoinGroup, JoinGroup)({ ...request, protocolType: "consumer" }),
      ),
    );
  } catch (error) {
    const { type, memberId } = error as KafkaError & { memberId?: string };
    if (type === "MEMBER_ID_REQUIRED" && memberId) return { member_id_given: memberId };
    throw error;
  }
}

/** Returns what the brokers say of each. */
export async function sendCreateTopics(broker: Broker, topics: readonly NewTopic[]): Promise<readonly CreatedTopic[]> {
  const request = { topics, validateOnly: false, timeout: request_ms / 2 };
  const answer = await unwrapped(() => sendUnjudged<{ topicErrors: readonly CreatedTopic[] }>(broker, "CreateTopics", request));
  return answer.topicErrors;
}

/** kafkajs wraps an error after its own retries, of which it is told to make none: what counts is the error within. */
export async function unwrapped<T>(work: () => Promise<T>): Promise<T> {
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

function connectionSettings({ brokers, client_id, tls, sasl }: KafkaLogOptions): ConnectionSettings {
  const ssl = tls && {
    ...(tls.ca && { ca: tls.ca }),
    ...(tls.certificate && { cert: tls.certificate }),
    ...(tls.key && { key: tls.key }),
  };
  return {
    brokers: [...brokers],
    clientId: client_id,
    ...(ssl && { ssl }),
    ...(sasl && { sasl: loginBy(sasl) }),
    connectionTimeout: connection_ms,
    authenticationTimeout: connection_ms,
    reauthenticationThreshold: login_margin_ms,
    requestTimeout: request_ms,
  };
}

interface ConnectionSettings {
  readonly brokers: string[];
  readonly clientId: string;
  readonly ssl?: ConnectionOptions;
  readonly sasl?: Mechanism;
  readonly connectionTimeout: number;
  readonly authenticationTimeout: number;
  readonly reauthenticationThreshold: number;
  readonly requestTimeout: number;
}

/** A broker's error by its number, as kafkajs names it. */
export function errorOfCode(code: number): KafkaError {
  return protocolErrors.createErrorFromCode(code);
}

export interface Broker {
  readonly nodeId: number;
  readonly connectionPool: ConnectionPool;
  connect(): Promise<void>;
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

export interface CreatedTopic {
  readonly topic: string;
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

export interface NewTopic {
  readonly topic: string;
  readonly numPartitions: number;
  readonly replicationFactor: number;
  readonly configEntries: readonly { readonly name: string; readonly value: string }[];
}

interface Metadata {
  readonly topicMetadata: readonly {
    readonly topic: string;
    readonly topicErrorCode: number;
    readonly partitionMetadata: readonly {
      readonly partitionId: number;
      readonly leader: number;
      readonly replicas: readonly number[];
    }[];
  }[];
  readonly brokers: readonly unknown[];
}

export interface Cluster {
  readonly targetTopics: ReadonlySet<string>;
  readonly brokerPool: {
    connectionPoolBuilder: { build(to?: object): Promise<ConnectionPool> };
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

export interface SocketTarget {
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

type RequestName = "JoinGroup" | "Metadata" | "CreateTopics";

const ClusterOfKafkajs = require("kafkajs/src/cluster") as new (options: ClusterOptions) => Cluster;
/** The same for all who guard it in one process. */
const guarded = Symbol.for("assay.kafkajs.idle-timer-guarded");
const RequestQueue = require("kafkajs/src/network/requestQueue") as {
  prototype: { pending: readonly unknown[]; scheduleCheckPendingRequests(): void; [guarded]?: true };
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
  if (prototype[guarded]) return;
  prototype[guarded] = true;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function (this: typeof prototype) {
    if (this.pending.length > 0) schedule.call(this);
  };
}

/**
 * Two faults of kafkajs. One topic or partition in trouble makes all metadata an error. A broker that took a connection and then didn't
 * answer counts as connected, so that everything fails until that connection ends.
 */
function mended(broker: Broker, onSilent: OnSilent): Broker {
  const connect = broker.connect.bind(broker);
  broker.connect = () => tellingSilence(broker.connectionPool, onSilent, connect);
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
