/**
 * One set of connections to the brokers, two to each: one for fetches, one for everything else. A broker answers a connection's requests
 * in order, so a member whose JoinGroup waits for the others has a client of its own.
 *
 * Its errors are the brokers' (errors.ts tells which may be mended by waiting); it tries nothing twice.
 */
import { connect as connectSocket, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { transient } from "./errors";
import {
  type Broker,
  type Cluster,
  connection_ms,
  metadata_age_ms,
  openCluster,
  read_uncommitted,
  type SocketTarget,
  sendOwn,
  unwrapped,
} from "./kafkajs";
import type { KafkaLogOptions } from "./options";
import {
  type Fetched,
  type FetchLimits,
  type FetchPlace,
  fetchRequest,
  type ProduceBatch,
  type Produced,
  produceRequest,
} from "./record-requests";
import { withinTime } from "./within-time";

const keep_alive_ms = 60_000;

export class KafkaClient {
  private readonly cluster: Cluster;
  /** With the address that each leads to. */
  private readonly sockets = new Map<Socket, string>();
  private readonly topics = new Set<string>();
  /** When leaders are to be learnt anew, by performance.now(). */
  private refresh_at = Number.POSITIVE_INFINITY;
  private closed = false;

  constructor(options: KafkaLogOptions, topics: Iterable<string> = []) {
    for (const topic of topics) this.topics.add(topic);
    this.cluster = openCluster(options, {
      openSocket: (to) => this.openSocket(to),
      onSilent: (host, port) => this.endConnections(`${host}:${port}`, "a request wasn't answered in time"),
    });
  }

  /** Connects where it isn't, and learns leaders anew. */
  async refresh(): Promise<void> {
    this.refresh_at = performance.now() + metadata_age_ms;
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

  /** Of how many brokers there are, and on how many of them the topic's records are; of the partition with the fewest. */
  replication(topic: string): { readonly brokers: number; readonly factor: number } {
    const { metadata } = this.cluster.brokerPool;
    const of_topic = metadata?.topicMetadata.find((of) => of.topic === topic);
    const factors = (of_topic?.partitionMetadata ?? []).map(({ replicas }) => replicas.length);
    return { brokers: metadata?.brokers.length ?? 0, factor: Math.min(...factors) };
  }

  /** The id of the partition's leader; undefined while there is none, or none is known. */
  leader(topic: string, partition: number): number | undefined {
    const { metadata } = this.cluster.brokerPool;
    const of_topic = metadata?.topicMetadata.find((of) => of.topic === topic);
    const leader = of_topic?.partitionMetadata.find((of) => of.partitionId === partition)?.leader;
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  async broker(node_id: number): Promise<Broker> {
    if (performance.now() > this.refresh_at) void this.refresh().catch(() => undefined); // a request that fails says so
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
    const answers = await sendOwn(await this.broker(node_id), fetchRequest(places, limits));
    const by_place = new Map(places.map((place) => [`${place.topic}/${place.partition}`, place]));
    return answers.flatMap((answer) => {
      const place = by_place.get(`${answer.topic}/${answer.partition}`);
      return place ? [{ ...answer, offset: place.offset }] : [];
    });
  }

  async produce(node_id: number, batches: readonly ProduceBatch[]): Promise<readonly Produced[]> {
    return sendOwn(await this.broker(node_id), produceRequest(batches));
  }

  /** Ends all connections; the next request opens new ones. What waits for an answer is rejected. */
  async reset(why: string): Promise<void> {
    this.endConnections(undefined, why);
    await new Promise((resolve) => setImmediate(resolve));
    await withinTime(this.cluster.disconnect(), connection_ms); // it waits for answers, of which there are none any more
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.reset(closed_message).catch(() => undefined); // all that is left are sockets
    for (const socket of this.sockets.keys()) socket.destroy();
  }

  private endConnections(to: string | undefined, why: string): void {
    for (const [socket, address] of this.sockets) if (to === undefined || address === to) socket.destroy(new Error(why));
  }

  private openSocket({ host, port, ssl, onConnect }: SocketTarget): Socket {
    const socket = ssl
      ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
      : connectSocket({ host, port }, onConnect);
    socket.setKeepAlive(true, keep_alive_ms);
    socket.setNoDelay(true);
    this.sockets.set(socket, `${host}:${port}`);
    socket.once("close", () => this.sockets.delete(socket));
    if (this.closed) socket.destroy(new Error(closed_message));
    return socket;
  }

  private failIfClosed(): void {
    if (this.closed) throw new Error(closed_message);
  }
}

export const earliest_offset = -2;
export const end_offset = -1;
const closed_message = "the log is closed";
