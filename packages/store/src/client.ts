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
import { connectionSecurity, type TlsFiles } from "./tls";

export interface StoreOptions {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly database?: string;
  readonly tls?: TlsFiles;
  /**
   * How many replicas have a block when insertBlock resolves: "auto" is a majority of them. By default the one that was asked, which on a
   * cluster would lose what it acknowledged if its disk died before another had fetched it. Nothing for tables that don't replicate.
   */
  readonly insert_quorum?: "auto" | number;
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
  const attempts: Attempts = { wait_ms: options.retry_wait_ms ?? retry_wait_ms_default, server: serverOf(options.url) };
  const client = connect(options);
  const quorum = options.insert_quorum === undefined ? {} : { ...quorum_settings, insert_quorum: String(options.insert_quorum) };
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
      const clickhouse_settings = { ...insert_settings, ...quorum, insert_deduplication_token: block.token };
      await retry({ ...attempts, repeat: "always" }, async () => {
        const { stream } = await client.exec({ query, values: Readable.from(body, { objectMode: false }), clickhouse_settings });
        await drain(stream);
      });
    },
    async command(sql) {
      await retry({ ...attempts, repeat: "unless_executed" }, () =>
        client.command({ query: sql, clickhouse_settings: command_settings }),
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
/** Within request_wait_ms, so that the server's answer comes and not a timeout of ours that says nothing. */
const replicas_wait_ms = 90_000;

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

/**
 * A block that is on too few replicas after the time is an error, and is sent again under its token. Blocks wait for their replicas side by side
 * (parallel); one at a time would let a slow one stop every writer, and is only of use for reads that must see the last write. Assay has
 * none: what it decides by stands in the log, and what it shows may be seconds behind.
 */
const quorum_settings = { insert_quorum_parallel: 1, insert_quorum_timeout: String(replicas_wait_ms) } as const;

/** A statement for a cluster is done when every replica has done it, or is an error: the migrator says so and can be run again. */
const command_settings = {
  wait_end_of_query: 1,
  distributed_ddl_task_timeout: String(replicas_wait_ms / 1000),
  distributed_ddl_output_mode: "throw",
} as const;

/** Only that: the client would take a user, settings or a database from the URL, over those that are given. */
function serverOf(url: string): string {
  const refusal =
    "the URL of the ClickHouse server must be http(s)://host:port and nothing more; user and password are settings of their own (ASSAY_CLICKHOUSE_URL)";
  // Not with the value: it may hold a password.
  if (!URL.canParse(url)) throw new Error(refusal);
  const { origin, protocol, username, password, pathname, search } = new URL(url);
  if (!["http:", "https:"].includes(protocol) || `${username}${password}${search}` !== "" || pathname !== "/")
    throw new Error(refusal);
  return origin;
}

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
    ...connectionSecurity(options, open_connections_max),
  });
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
