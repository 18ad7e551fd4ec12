/**
 * The store: ClickHouse over HTTP, embedded or a server, by the official client behind a small surface.
 *
 * Times are milliseconds since 1970 (numbers) both ways: in rows to insert for DateTime64(3), and in results for every top-level column of
 * type DateTime64 or DateTime. The exception is a DateTime column in rows to insert, which takes seconds. As a parameter pass a time as
 * `fromUnixTimestamp64Milli({from: Int64})`. Integers of 64 bits are numbers; a result beyond ±2^53 in a top-level column is an error,
 * select it as toString().
 */
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { convertRows, type Result } from "./result";
import { type Attempts, retry } from "./retry";

export interface StoreOptions {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly database?: string;
  /** For https URLs: PEM texts of the CA, and of the certificate and key for mutual TLS. */
  readonly tls?: { readonly ca: Buffer; readonly certificate?: Buffer; readonly key?: Buffer };
  /** How long a request is tried again while the server can't be reached or is overloaded; 60,000 by default. */
  readonly retry_wait_ms?: number;
}

export interface Store {
  /** Rejects beyond query_rows_max rows or query_seconds_max seconds. */
  query<Row>(sql: string, params?: QueryParams): Promise<Row[]>;
  /**
   * Inserts the rows as one block, once: a second block with the same token into the same table, within its deduplication window, counts as
   * done, also in the tables behind its views. Durable when it resolves, where the tables have fsync_after_insert. Tries again until
   * retry_wait_ms is over; what the server rejects, rejects at once.
   */
  insertBlock(block: InsertBlock): Promise<void>;
  /** A statement without a result. Tried again only where it can't have been executed. */
  command(sql: string): Promise<void>;
  /** Whether the server answers and takes the credentials. */
  ping(): Promise<boolean>;
  close(): Promise<void>;
}

export type QueryParams = Readonly<Record<string, string | number | boolean | null | readonly string[] | readonly number[]>>;

export interface InsertBlock {
  /** With its database: assay.findings. */
  readonly table: string;
  readonly columns: readonly string[];
  /** Values in the order of the columns; Maps are plain objects. */
  readonly rows: readonly (readonly unknown[])[];
  readonly token: string;
}

export const query_rows_max = 100_000;
export const query_seconds_max = 30;
export const block_rows_max = 100_000;
/** Above it one block would not fit the embedded engine's memory. */
export const block_bytes_max = 256 * 1024 * 1024;

export function connectStore(options: StoreOptions): Store {
  const client = connect(options);
  const attempts: Attempts = { wait_ms: options.retry_wait_ms ?? retry_wait_ms_default };
  return {
    async query<Row>(sql: string, params: QueryParams = {}) {
      const result = await retry({ ...attempts, repeat: "always" }, async () => {
        const answer = await client.query({
          query: sql,
          query_params: { ...params },
          format: "JSONCompact",
          clickhouse_settings: query_settings,
        });
        return (await answer.json()) as unknown as Result;
      });
      return convertRows(result) as Row[];
    },
    async insertBlock(block) {
      if (block.rows.length === 0) return;
      const body = await encode(block);
      const query = `INSERT INTO ${block.table} (${block.columns.map(quoteName).join(", ")}) FORMAT JSONCompactEachRow`;
      const clickhouse_settings = { ...insert_settings, insert_deduplication_token: block.token };
      await retry({ ...attempts, repeat: "always" }, async () => {
        const { stream } = await client.exec({ query, values: Readable.from(body, { objectMode: false }), clickhouse_settings });
        await drain(stream);
      });
    },
    async command(sql) {
      await retry({ ...attempts, repeat: "unless_executed" }, () =>
        client.command({ query: sql, clickhouse_settings: { wait_end_of_query: 1 } }),
      );
    },
    async ping() {
      return (await client.ping({ select: true })).success;
    },
    close: () => client.close(),
  };
}

const retry_wait_ms_default = 60_000;
const request_wait_ms = 120_000;
const open_connections_max = 16;
const encode_slice_ms = 5;

/** So that the whole result is there before the answer begins, and an error is an error. */
const query_settings = {
  wait_end_of_query: 1,
  max_execution_time: query_seconds_max,
  max_result_rows: String(query_rows_max),
  result_overflow_mode: "throw",
  date_time_output_format: "unix_timestamp",
  output_format_json_quote_64bit_integers: 0,
} as const;

/**
 * One insert is one block, whatever its size up to block_rows_max: the limits at which ClickHouse would cut it are moved out of the way, and
 * reading isn't spread over threads. Deduplication reaches through views, by the same token.
 */
const insert_settings = {
  wait_end_of_query: 1,
  async_insert: 0,
  insert_deduplicate: 1,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  materialized_views_ignore_errors: 0,
  max_insert_threads: "1",
  max_insert_block_size: String(block_rows_max),
  min_insert_block_size_rows: String(block_rows_max),
  min_insert_block_size_bytes: "0",
  min_insert_block_size_rows_for_materialized_views: String(block_rows_max),
  min_insert_block_size_bytes_for_materialized_views: "0",
  input_format_parallel_parsing: 0,
} as const;

function connect(options: StoreOptions): ClickHouseClient {
  const remote = new URL(options.url).protocol === "https:";
  return createClient({
    url: options.url,
    username: options.username,
    password: options.password,
    database: options.database ?? "default",
    request_timeout: request_wait_ms,
    max_open_connections: open_connections_max,
    compression: { request: remote, response: remote },
    // Errors reach the caller, who decides what is worth a line.
    log: { level: ClickHouseLogLevel.OFF },
    ...(options.tls === undefined ? {} : { tls: tlsOptions(options.tls) }),
  });
}

function tlsOptions({ ca, certificate, key }: NonNullable<StoreOptions["tls"]>) {
  if (certificate === undefined || key === undefined) return { ca_cert: ca };
  return { ca_cert: ca, cert: certificate, key };
}

/** Encoded once for all attempts, in slices that leave the event loop free. */
async function encode({ table, rows }: InsertBlock): Promise<readonly Buffer[]> {
  if (rows.length > block_rows_max)
    throw new Error(`block of ${rows.length} rows for ${table}; the limit is ${block_rows_max} (block_rows_max)`);
  const chunks: Buffer[] = [];
  let lines: string[] = [];
  let bytes = 0;
  let slice_began = performance.now();
  const cut = (): void => {
    const chunk = Buffer.from(lines.join(""));
    bytes += chunk.length;
    if (bytes > block_bytes_max) throw new Error(`block for ${table} is larger than ${block_bytes_max} bytes (block_bytes_max)`);
    chunks.push(chunk);
    lines = [];
  };
  for (const row of rows) {
    lines.push(`${JSON.stringify(row)}\n`);
    if (lines.length % 64 === 0 && performance.now() - slice_began > encode_slice_ms) {
      cut();
      await turn();
      slice_began = performance.now();
    }
  }
  cut();
  return chunks;
}

async function drain(stream: Readable): Promise<void> {
  for await (const _chunk of stream);
}

function quoteName(name: string): string {
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}
