/** Settings of `assay` itself. Those of the services and the agent stand in their rooms, and are passed on to them. */
import { correlatorSettings } from "@assay/correlator/settings";
import { ingestSettings } from "@assay/ingest/settings";
import { reportApiSettings } from "@assay/report-api/settings";
import {
  defineSettings,
  integer,
  optionalPath,
  optionalUrl,
  readSettings,
  type SettingsOf,
  secret,
  text,
} from "@assay/runtime/settings";
import { log_bytes_max_default } from "@assay/stream/embedded-log";
import { settingsError } from "../settings-error";
import { portUses } from "./ports";
import { services_user_default } from "./services-user";

const mebibyte = 1024 * 1024;

export const embeddedSettings = defineSettings({
  data_directory: optionalPath("ASSAY_DATA_DIR", {
    doc: "Data directory of an embedded Assay. Without it: /var/lib/assay as root, else assay in $XDG_DATA_HOME or ~/.local/share. --data goes before it.",
  }),
  user: text("ASSAY_USER", {
    doc: "Started by root, the services run as this user; root keeps them root.",
    default: services_user_default,
    length_max: 64,
  }),
  rules_directory: optionalPath("ASSAY_RULES_DIR", {
    doc: "Directory of rule packages; those that come with Assay where it isn't set.",
  }),
  metrics_port: integer("ASSAY_METRICS_PORT", {
    doc: "Port of /live, /ready and /metrics; 0 for any free one.",
    default: portUses.metrics.default,
    min: 0,
    max: 65_535,
  }),
  log_bytes_max: integer("ASSAY_LOG_MAX_BYTES", {
    doc: "Most that the embedded log's file may take on the disk. Past its share of it telemetry is refused until older records are dropped.",
    default: log_bytes_max_default,
    min: 32 * mebibyte,
    max: 1024 * 1024 * mebibyte,
    unit: "bytes",
  }),
});

export const clickhouseSettings = defineSettings({
  url: optionalUrl("ASSAY_CLICKHOUSE_URL", {
    doc: "A ClickHouse server to use; the embedded engine isn't started then.",
    protocols: ["http:", "https:"],
  }),
  username: text("ASSAY_CLICKHOUSE_USER", { doc: "User of that server.", default: "assay", length_max: 128 }),
  password: secret("ASSAY_CLICKHOUSE_PASSWORD", { doc: "Password of that user." }),
  ca_file: optionalPath("ASSAY_CLICKHOUSE_CA_FILE", {
    doc: "Who signed that server's certificate, PEM; the authorities that Node knows where it isn't set.",
  }),
  certificate_file: optionalPath("ASSAY_CLICKHOUSE_CERT_FILE", { doc: "Our certificate for mutual TLS with that server, PEM." }),
  key_file: optionalPath("ASSAY_CLICKHOUSE_KEY_FILE", { doc: "The key of that certificate, PEM." }),
  cluster: text("ASSAY_CLICKHOUSE_CLUSTER", {
    doc: "Name of the server's cluster of replicas, of one shard: tables are made on all of them, and inserts wait for most of them.",
    default: "",
    length_max: 128,
    pattern: /^[A-Za-z0-9_.-]+$/,
    form: "name",
  }),
});

/** What the supervisor reads: its own, and what it has to know of its services. */
const supervisorSettings = {
  ...embeddedSettings,
  report_api_host: reportApiSettings.host,
  report_api_port: reportApiSettings.port,
  ingest_host: ingestSettings.host,
  ingest_port: ingestSettings.port,
  enrol_secret: ingestSettings.enrol_secret,
  window_ms: correlatorSettings.window_ms,
  lateness_ms: correlatorSettings.lateness_ms,
};
export type EmbeddedSettings = SettingsOf<typeof supervisorSettings>;

/** problems: of every setting that the processes to be started will read. */
export function readEmbeddedSettings(
  env: Readonly<Record<string, string | undefined>>,
  problems: readonly string[],
): EmbeddedSettings {
  const read = readSettings(supervisorSettings, env);
  const all = [...new Set([...(read.ok ? [] : read.problems), ...problems])];
  if (read.ok && all.length === 0) return read.settings;
  throw settingsError(all);
}
