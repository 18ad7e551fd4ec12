/**
 * The two files that configure and guard the embedded engine, as texts.
 *
 * The engine's own first connection can only be the user `default` without a password, so that user has to exist with the right to start
 * listening. It must not be reachable for others on this machine (it could stop the listener or eat the memory), so HTTP requests are
 * let in by their credentials before ClickHouse looks at the user; all others end at a fixed 401.
 */
import { createHash } from "node:crypto";

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** The engine answers `answer` at GET /<path>; who doesn't know both can't pass for it while it is down. */
export interface Challenge {
  readonly path: string;
  readonly answer: string;
}

/** What the engine's process is asked for: the first line of its stdin, as JSON. */
export interface EngineOrder {
  readonly port: number;
  readonly config_xml: string;
  readonly users_xml: string;
}

/** How that process says that another one has the directory. */
export const exit_code_in_use = 3;
/** How it says that it found no room for its files. */
export const exit_code_disk_full = 4;

const server_memory_bytes = 1_073_741_824;
const query_memory_bytes = 700_000_000;
/** Grouping and sorting go to disk beyond this. */
const query_spill_bytes = 300_000_000;
const reader_memory_bytes = 400_000_000;
const reader_execution_seconds = 60;
const connections_max = 128;
const mark_cache_bytes = 67_108_864;

export function configXml(users_file: string, logins: readonly Login[], challenge: Challenge): string {
  const rules = logins.flatMap(({ username, password }) => [
    rule(
      `<headers><Authorization>Basic ${Buffer.from(`${username}:${password}`).toString("base64")}</Authorization></headers>`,
      queries,
    ),
    rule(
      `<headers><X-ClickHouse-User>${username}</X-ClickHouse-User><X-ClickHouse-Key>${password}</X-ClickHouse-Key></headers>`,
      queries,
    ),
  ]);
  return `<clickhouse>
  <users_config>${escapeXml(users_file)}</users_config>
  <timezone>UTC</timezone>
  <max_server_memory_usage>${server_memory_bytes}</max_server_memory_usage>
  <mark_cache_size>${mark_cache_bytes}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <max_connections>${connections_max}</max_connections>
  <background_pool_size>4</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
  <http_handlers>
    ${rule("<url>/ping</url><methods>GET</methods>", "<type>ping</type>")}
    ${rule(`<url>/${challenge.path}</url><methods>GET</methods>`, fixed(200, challenge.answer))}
    ${rules.join("\n    ")}
    ${rule("", fixed(401, "Code: 516. DB::Exception: Authentication failed: wrong user name or password. (AUTHENTICATION_FAILED)"))}
  </http_handlers>
</clickhouse>
`;
}

export function usersXml(writer: Login, reader: Login): string {
  return `<clickhouse>
  <profiles>
    <default>
      <max_memory_usage>${query_memory_bytes}</max_memory_usage>
      <max_bytes_before_external_group_by>${query_spill_bytes}</max_bytes_before_external_group_by>
      <max_bytes_before_external_sort>${query_spill_bytes}</max_bytes_before_external_sort>
      <async_insert>0</async_insert>
    </default>
    <reader>
      <readonly>2</readonly>
      <max_memory_usage>${reader_memory_bytes}</max_memory_usage>
      <max_execution_time>${reader_execution_seconds}</max_execution_time>
      <constraints>
        <max_memory_usage><min>1</min><max>${reader_memory_bytes}</max></max_memory_usage>
        <max_execution_time><min>1</min><max>${reader_execution_seconds}</max></max_execution_time>
      </constraints>
    </reader>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      ${loopback}
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT SELECT ON system.numbers</query>
      </grants>
    </default>
    ${user(writer, "default", ["GRANT ALL ON assay.*", "GRANT TABLE ENGINE ON *", "GRANT SELECT ON system.*"])}
    ${user(reader, "reader", ["GRANT SELECT ON assay.*"])}
  </users>
</clickhouse>
`;
}

const queries = "<type>dynamic_query_handler</type><query_param_name>query</query_param_name>";
const loopback = "<networks><ip>127.0.0.1</ip><ip>::1</ip></networks>";

function rule(conditions: string, handler: string): string {
  return `<rule>${conditions}<handler>${handler}</handler></rule>`;
}

function fixed(status: number, content: string): string {
  return `<type>static</type><status>${status}</status><content_type>text/plain</content_type><response_content>${content}</response_content>`;
}

function user({ username, password }: Login, profile: string, grants: readonly string[]): string {
  const queries_xml = grants.map((grant) => `<query>${grant}</query>`).join("");
  return `<${username}>
      <password_sha256_hex>${createHash("sha256").update(password).digest("hex")}</password_sha256_hex>
      ${loopback}
      <profile>${profile}</profile>
      <quota>default</quota>
      <grants>${queries_xml}</grants>
    </${username}>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
