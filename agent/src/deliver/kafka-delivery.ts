/**
 * Delivery straight to Kafka, for a trusted publisher: the bytes that ingest would append, under the same keys, in the same partitions.
 *
 * What ingest does for other agents is then the broker's and the operator's: the broker's ACLs say who may write to the topics, but not
 * under which key; nobody checks bounds; the record's time is this host's clock, so it must be kept right (NTP); and nobody says when rules
 * or assessments want fresh inventory, so it is sent again every hour.
 *
 * A producer whose send failed is thrown away: whether the broker has the record is not known then. It is sent again, and readers drop
 * the repeat by its incarnation and seq.
 */
import type { Socket } from "node:net";
import { Codec, folderIds } from "@assay/schemas/codec";
import { inventoryKey } from "@assay/schemas/inventory";
import { topics } from "@assay/schemas/topics";
import { CompressionTypes, type Producer } from "kafkajs";
import type { OwnConnections } from "../collect/excluded";
import type { Delivery, Outcome } from "./delivery";
import { createProducer, type KafkaConnection } from "./kafka-producer";
import type { RegisteredIds } from "./registered-ids";
import type { Waiting } from "./spool";

export interface KafkaDeliveryOptions {
  readonly connection: KafkaConnection;
  /** Only for tests: keeps suites apart on one broker. */
  readonly topic_prefix?: string;
  readonly ids: RegisteredIds;
  readonly request_wait_ms: number;
  readonly own: OwnConnections;
  readonly host_id: string;
  readonly now: () => number;
}

export class KafkaDelivery implements Delivery {
  private producer: Producer | undefined;
  private readonly sockets = new Set<Socket>();

  constructor(private readonly options: KafkaDeliveryOptions) {}

  async deliver(next: Waiting, signal: AbortSignal): Promise<Outcome> {
    const { host_id } = this.options;
    if (next.value.host_id !== host_id) {
      // The host-id file was lost or replaced. Under the old id's key it would go to that host's windows, which may live elsewhere.
      const message = "spooled by another host than this agent is now; dropped";
      return { kind: "unusable", counted_as: "wrong_host", message, fields: { host_id, of_host: next.value.host_id } };
    }
    const ids = await this.options.ids.find(signal);
    if (ids.kind !== "found") return ids;
    try {
      await untilAborted(this.send(next, new Codec({ ...folderIds(), currentId: ids.currentId })), signal);
      return { kind: "delivered", inventory_age_ms_max };
    } catch (error) {
      await this.dropProducer();
      return outcomeOf(error as Error);
    }
  }

  async close(): Promise<void> {
    this.options.ids.close();
    await this.dropProducer();
  }

  private async send(next: Waiting, codec: Codec): Promise<void> {
    const { host_id, now, request_wait_ms, topic_prefix = "" } = this.options;
    if (!this.producer) await this.connect();
    const { producer } = this;
    if (!producer) throw new Error("the agent gave up this connection");
    // The kernel shows them as long as they are open.
    for (const socket of this.sockets) this.options.own.openedBy(socket);
    const sent_at = now();
    const [topic, key, value] =
      next.kind === "telemetry"
        ? [topics.telemetry, host_id, codec.encode("TelemetryBatch", { ...next.value, sent_at })]
        : [topics.inventory, inventoryKey(next.value), codec.encode("InventorySection", { ...next.value, sent_at })];
    await producer.send({
      topic: topic_prefix + topic.name,
      acks: all_in_sync,
      timeout: request_wait_ms,
      compression: value.length > gzip_from_bytes ? CompressionTypes.GZIP : CompressionTypes.None,
      messages: [{ key, value, timestamp: String(sent_at) }],
    });
  }

  private async connect(): Promise<void> {
    const { connection, host_id, request_wait_ms, own } = this.options;
    const producer = createProducer(connection, { partition_key: host_id, request_wait_ms }, (socket) => {
      if (this.producer !== producer) socket.destroy(); // dropped while it connected
      this.sockets.add(socket);
      socket.once("connect", () => own.openedBy(socket));
      socket.once("close", () => this.sockets.delete(socket));
    });
    this.producer = producer;
    await producer.connect();
  }

  private async dropProducer(): Promise<void> {
    const dropped = this.producer;
    this.producer = undefined;
    for (const socket of this.sockets) socket.destroy(new Error("the agent gives up this connection"));
    // It has nothing to say that its failed send didn't.
    await dropped?.disconnect().catch(() => undefined);
  }
}

const inventory_age_ms_max = 3_600_000;
const all_in_sync = -1;
const gzip_from_bytes = 1_024;

/** The broker will refuse the same bytes again. */
const unusable = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD"]);

function outcomeOf(error: Error): Outcome {
  const { type, name, message } = innermost(error) as Error & { readonly type?: string };
  if (type !== undefined && unusable.has(type)) {
    const fields = { status: type, reason: message };
    return { kind: "unusable", counted_as: "rejected", message: "Kafka can't take this; dropped", fields };
  }
  return { kind: "away", message: "Kafka does not take batches", status: type ?? name, reason: message };
}

/** kafkajs wraps an error once its own retries are over, of which it makes none here. */
function innermost(error: Error): Error {
  return error.name.startsWith("KafkaJSN") && error.cause instanceof Error ? innermost(error.cause) : error;
}

/** The work goes on, and its end is nobody's any more. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Error("the agent stops"));
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
