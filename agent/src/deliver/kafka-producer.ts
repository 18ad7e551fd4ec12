/** kafkajs' producer, as one agent needs it: one host's records, one send at a time, no retries of its own. */
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type ISocketFactory, Kafka, logLevel, Partitioners, type Producer, type SASLOptions } from "kafkajs";

export interface KafkaConnection {
  /** host:port */
  readonly brokers: readonly string[];
  /** Present: TLS. */
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly sasl?: SASLOptions;
}

export interface ProducerUse {
  /** Every record goes where this key goes: the partition of the host, whatever the record's own key. */
  readonly partition_key: string;
  readonly request_wait_ms: number;
}

/**
 * Not idempotent: that needs a further right of the broker's, and a repeat harms nothing. onSocket is told of each connection before it is
 * made. The caller connects and disconnects.
 */
export function createProducer(connection: KafkaConnection, use: ProducerUse, onSocket: (socket: Socket) => void): Producer {
  guardIdleTimer();
  const { brokers, tls, sasl } = connection;
  const { partition_key, request_wait_ms } = use;
  const kafka = new Kafka({
    clientId: "assay-agent",
    brokers: [...brokers],
    connectionTimeout: request_wait_ms,
    authenticationTimeout: request_wait_ms,
    requestTimeout: request_wait_ms,
    retry: { retries: 0 },
    logLevel: logLevel.NOTHING, // what goes wrong is told by what is thrown
    socketFactory: socketFactory(onSocket),
    ...(tls ? { ssl: tls } : {}),
    ...(sasl ? { sasl } : {}),
  });
  // The choice of Kafka's own clients, and of the services' partitioner.
  const choose = Partitioners.DefaultPartitioner();
  return kafka.producer({
    allowAutoTopicCreation: false,
    maxInFlightRequests: 1,
    retry: { retries: 0 },
    createPartitioner: () => (args) => choose({ ...args, message: { ...args.message, key: partition_key } }),
  });
}

const keep_alive_wait_ms = 60_000;

function socketFactory(onSocket: (socket: Socket) => void): ISocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    const socket = ssl
      ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
      : connectPlain({ host, port }, onConnect);
    socket.setKeepAlive(true, keep_alive_wait_ms);
    onSocket(socket);
    return socket;
  };
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
  /** Also set by the services' log on Kafka, which does the same: once is enough for a process that has both. */
  guarded?: true;
}

/** kafkajs 2.2.4 keeps a timer of 1 ms going on every connection that waits for nothing: thousands of wakes a second. */
function guardIdleTimer(): void {
  const { prototype } = require("kafkajs/src/network/requestQueue") as { prototype: RequestQueue };
  if (prototype.guarded) return;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.guarded = true;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}
