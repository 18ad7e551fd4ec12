/** The agent's settings: declared here, read once by main.ts. */

import { logLevels } from "@assay/runtime/logger";
import {
  defineSettings,
  duration_ms,
  flag,
  integer,
  oneOf,
  optionalPath,
  path,
  type SettingsOf,
  secret,
  text,
  url,
} from "@assay/runtime/settings";
import { publishSettings } from "./publish-settings";

const second_ms = 1_000;
const minute_ms = 60_000;
const hour_ms = 3_600_000;
const mebibyte = 1024 * 1024;

export const agentSettings = defineSettings({
  ingest_url: url("ASSAY_AGENT_INGEST_URL", {
    doc: "Where batches go.",
    default: "http://127.0.0.1:8081",
    protocols: ["http:", "https:"],
  }),
  ...publishSettings,
  ingest_ca: optionalPath("ASSAY_AGENT_INGEST_CA", { doc: "PEM file of the authority that ingest's certificate is from." }),
  state: path("ASSAY_AGENT_STATE", {
    doc: "Folder of the agent's own: host id, credential, spool.",
    default: "/var/lib/assay-agent",
  }),
  enrol_secret: secret("ASSAY_AGENT_ENROL_SECRET", {
    doc: "Proved to ingest, to have a credential of the host's own. It is never sent.",
  }),
  host_name: text("ASSAY_AGENT_HOST_NAME", { doc: "How the host calls itself; its own name where empty.", default: "" }),
  tags: text("ASSAY_AGENT_TAGS", {
    doc: "What the agent says of its host, key=value with commas between; selectors see it under agent:.",
    default: "",
    pattern: /^(?:[a-z][a-z0-9_.-]{0,62}=[^,=]{0,255}(?:,(?!$)|$))*$/,
    form: "key=value with commas between",
  }),
  with_parent: flag("ASSAY_AGENT_WITH_PARENT", { doc: "Ends when its standard input ends.", default: false }),
  log_level: oneOf("ASSAY_AGENT_LOG_LEVEL", { doc: "What is logged.", values: logLevels, default: "info" }),
  window_ms: duration_ms("ASSAY_AGENT_WINDOW_MS", {
    doc: "Open connections and listeners are told again once in this time: the correlator's window, or less.",
    default: 10 * second_ms,
    min: second_ms,
    max: hour_ms,
  }),
  flush_wait_ms: duration_ms("ASSAY_AGENT_FLUSH_WAIT_MS", {
    doc: "A batch leaves at least this often, also without events.",
    default: second_ms,
    min: 50,
    max: minute_ms,
  }),
  processes_wait_ms: duration_ms("ASSAY_AGENT_PROCESSES_WAIT_MS", {
    doc: "Between two looks at the processes.",
    default: 500,
    min: 50,
    max: minute_ms,
  }),
  connections_wait_ms: duration_ms("ASSAY_AGENT_CONNECTIONS_WAIT_MS", {
    doc: "Between two looks at the connections.",
    default: 500,
    min: 50,
    max: minute_ms,
  }),
  listeners_wait_ms: duration_ms("ASSAY_AGENT_LISTENERS_WAIT_MS", {
    doc: "Between two looks at the listeners.",
    default: second_ms,
    min: 50,
    max: minute_ms,
  }),
  inventory_wait_ms: duration_ms("ASSAY_AGENT_INVENTORY_WAIT_MS", {
    doc: "Between two looks at the inventory; what changed is sent.",
    default: minute_ms,
    min: second_ms,
    max: hour_ms,
  }),
  executables_wait_ms: duration_ms("ASSAY_AGENT_EXECUTABLES_WAIT_MS", {
    doc: "Between two looks at the running executables, where no new one has started.",
    default: 5 * minute_ms,
    min: second_ms,
    max: hour_ms,
  }),
  probe_listeners: flag("ASSAY_AGENT_PROBE_LISTENERS", {
    doc: "Connects to each new TCP listener once, to learn which protocol it speaks.",
    default: true,
  }),
  probe_once_ports: text("ASSAY_AGENT_PROBE_ONCE_PORTS", {
    doc: "Ports that are not asked again after 12 h: Assay's own servers.",
    default: "",
    pattern: /^(?:\d{1,5}(?:,(?!$)|$))*$/,
    form: "ports with commas between",
  }),
  request_wait_ms: duration_ms("ASSAY_AGENT_REQUEST_WAIT_MS", {
    doc: "How long an answer of ingest may take.",
    default: 10 * second_ms,
    min: 100,
    max: 5 * minute_ms,
  }),
  retry_first_ms: duration_ms("ASSAY_AGENT_RETRY_FIRST_MS", {
    doc: "Wait after the first failed attempt; doubles with each.",
    default: 250,
    min: 1,
    max: minute_ms,
  }),
  retry_max_ms: duration_ms("ASSAY_AGENT_RETRY_MAX_MS", {
    doc: "Longest wait between attempts.",
    default: 15 * second_ms,
    min: 1,
    max: hour_ms,
  }),
  spool_bytes_max: integer("ASSAY_AGENT_SPOOL_BYTES_MAX", {
    doc: "What waits on disk; past it the oldest batches are dropped, and counted.",
    default: 256 * mebibyte,
    min: mebibyte,
    max: 64 * 1024 * mebibyte,
    unit: "bytes",
  }),
  stop_wait_ms: duration_ms("ASSAY_AGENT_STOP_WAIT_MS", {
    doc: "How long the last batches may take when the agent is told to stop.",
    default: 3 * second_ms,
    min: 0,
    max: minute_ms,
  }),
});

export type AgentConfig = SettingsOf<typeof agentSettings>;

export function parseTags(tags: string): Record<string, string> {
  return Object.fromEntries(tags.split(",").flatMap((tag) => (tag === "" ? [] : [splitOnce(tag)])));
}

export function parsePorts(ports: string): Set<number> {
  return new Set(ports.split(",").flatMap((port) => (port === "" ? [] : [Number(port)])));
}

function splitOnce(tag: string): [string, string] {
  const at = tag.indexOf("=");
  return [tag.slice(0, at), tag.slice(at + 1)];
}
