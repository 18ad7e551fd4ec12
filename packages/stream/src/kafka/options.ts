/** How the log on Kafka is opened, and what it tells of topics. */
import type { LogRecord } from "../log";

export interface KafkaLogOptions {
  /** host:port */
  readonly brokers: readonly string[];
  readonly client_id: string;
  /** TLS where it is given; mutual with a certificate and its key. */
  readonly tls?: { readonly ca?: Buffer; readonly certificate?: Buffer; readonly key?: Buffer };
  readonly sasl?: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  };
  /** Of keyed topics. */
  readonly partitions?: number;
  /** Of topics that are created; the broker's own choice by default. */
  readonly replication_factor?: number;
  readonly compression?: Compression;
  /** A member of a group that isn't heard of for this long loses its partitions. */
  readonly session_ms?: number;
  /** How long a group waits for a member's work in hand when it deals partitions out anew. */
  readonly rebalance_ms?: number;
  /** How long brokers may be away before an operation rejects. */
  readonly retry_wait_ms?: number;
  /** Keeps tests apart on one broker: topics and groups have it there, and not as seen through the port. */
  readonly topic_prefix?: string;
  /** Awaited before records are handed out. */
  readonly beforeRecords?: (records: readonly LogRecord[]) => Promise<void>;
  readonly logger?: KafkaLogLogger;
}

export interface KafkaLogLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface TopicCheck {
  readonly topic: string;
  readonly exists: boolean;
  readonly differences: readonly {
    readonly what: string;
    readonly wanted: string;
    readonly found: string;
    /** ensureTopics throws for it; the others it only tells. */
    readonly fatal: boolean;
  }[];
}

export type Compression = "none" | "gzip" | "lz4";
