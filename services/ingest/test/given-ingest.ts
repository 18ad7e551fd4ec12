/** A real ingest on a port of its own, over a real embedded log in a temporary folder, with one enrolled agent. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent, Answer } from "@assay/control/entities";
import type { AgentDirectory } from "@assay/ingest/agent-directory";
import { type IngestSettings, ingestRelations, ingestSettings } from "@assay/ingest/settings";
import { startIngest } from "@assay/ingest/start-ingest";
import { createLogger } from "@assay/runtime/logger";
import { createMetrics } from "@assay/runtime/metrics";
import { readSettings } from "@assay/runtime/settings";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { DeadLetter, InventorySection, TelemetryBatch } from "@assay/schemas/generated/types";
import { allTopics, topics } from "@assay/schemas/topics";
import { openEmbeddedLog } from "@assay/stream/embedded-log";
import type { Log, LogRecord } from "@assay/stream/log";

export const host_id = "host-1";
export const credential = "c".repeat(43);
export const enrol_secret = "a secret of the fleet";
export const codec = new Codec(folderIds());

export interface GivenIngest {
  readonly url: string;
  readonly port: number;
  readonly log: Log;
  readonly agents: FakeDirectory;
  readonly ready: () => unknown;
  post(path: string, body: string | Buffer, headers?: Record<string, string>): Promise<Answered>;
  records(topic: { readonly name: string }): Promise<LogRecord[]>;
  deadLetters(): Promise<DeadLetter[]>;
  metric(name: string): Promise<number | undefined>;
  stop(): Promise<void>;
}

export interface Answered {
  readonly status: number;
  readonly body: {
    readonly accepted?: number;
    readonly challenge?: string;
    readonly proof?: string;
    readonly error?: { readonly code: string; readonly message: string };
  };
  readonly retry_after: string | null;
}

export interface GivenOptions {
  readonly settings?: Partial<IngestSettings>;
  readonly log_bytes_max?: number;
  /** The log's. */
  readonly codec?: Codec;
  /** Wraps the log, to hold or fail its appends. */
  readonly wrap?: (log: Log) => Log;
}

export async function givenIngest(options: GivenOptions = {}): Promise<GivenIngest> {
  const directory = mkdtempSync(join(tmpdir(), "assay-ingest-"));
  const log = await openEmbeddedLog({
    directory,
    ...(options.log_bytes_max === undefined ? {} : { max_bytes: options.log_bytes_max }),
  });
  await log.ensureTopics(allTopics);
  const defaults = readSettings(ingestSettings, { ASSAY_INGEST_PORT: "0", ASSAY_ENROL_SECRET: enrol_secret }, ingestRelations);
  if (!defaults.ok) throw new Error(defaults.problems.join("\n"));
  const agents = new FakeDirectory();
  agents.set(host_id, credential);
  const metrics = createMetrics("ingest");
  const close = async () => {
    metrics.stop();
    await log.close();
    rmSync(directory, { recursive: true });
  };
  const ingest = await startIngest(
    { ...defaults.settings, ...options.settings },
    {
      log: options.wrap?.(log) ?? log,
      codec: options.codec ?? codec,
      agents,
      logger: createLogger({ service: "ingest", level: "silent" }),
      metrics,
    },
  ).catch(async (error) => {
    await close();
    throw error;
  });
  const url = `http://127.0.0.1:${ingest.port}`;
  const records = async (topic: { readonly name: string }) => {
    const all: LogRecord[] = [];
    for (let partition = 0; partition < log.partitions(topic.name); partition++) {
      all.push(...(await log.read(topic.name, partition, (await log.bounds(topic.name, partition)).earliest, 1000)));
    }
    return all;
  };
  return {
    url,
    port: ingest.port,
    log,
    agents,
    ready: () => ingest.ready(),
    records,
    async post(path, body, headers = asHost()) {
      const response = await fetch(url + path, { method: "POST", body, headers });
      return {
        status: response.status,
        body: (await response.json()) as Answered["body"],
        retry_after: response.headers.get("retry-after"),
      };
    },
    async deadLetters() {
      return (await records(topics.deadLetters)).map((record) => {
        const decoded = codec.decode(record.value ?? Buffer.alloc(0));
        if (decoded.name !== "DeadLetter") throw new Error(`a ${decoded.name} among the dead letters`);
        return decoded.value;
      });
    },
    async metric(name) {
      const line = (await metrics.registry.metrics()).split("\n").find((l) => l.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    },
    async stop() {
      await ingest.stop();
      await ingest.ended;
      await close();
    },
  };
}

/** Control, as ingest sees it. What others write is seen after the next refresh. */
export class FakeDirectory implements AgentDirectory {
  answer: (agent: Agent) => Promise<Answer> = async (agent) => ({
    result: "accepted",
    kind: "agent",
    id: agent.host_id,
    version: 1,
  });
  refreshes = 0;
  private readonly written = new Map<string, string>();
  private readonly seen = new Map<string, string>();

  credentialHash(host: string): string | undefined {
    return this.seen.get(host);
  }
  async refresh(): Promise<void> {
    this.refreshes += 1;
    for (const [host, hash] of this.written) this.seen.set(host, hash);
  }
  async enrol(agent: Agent): Promise<Answer> {
    const answer = await this.answer(agent);
    if (answer.result !== "accepted") return answer;
    for (const known of [this.written, this.seen]) known.set(agent.host_id, agent.credential_sha256);
    return answer;
  }
  set(host: string, secret: string): void {
    this.written.set(host, createHash("sha256").update(secret).digest("hex"));
  }
}

export function asHost(host = host_id, secret = credential): Record<string, string> {
  return { authorization: `Bearer ${secret}`, "x-assay-host": host, "content-type": "application/octet-stream" };
}

export function batchOf(changes: Partial<TelemetryBatch> = {}): TelemetryBatch {
  const now = Date.now();
  return {
    host_id,
    host_name: "one",
    agent_version: "0.1.0",
    incarnation: now - 60_000,
    seq: 1,
    sent_at: now,
    observed_from: now - 60_000,
    complete_through: now - 1_000,
    tags: { environment: "test" },
    processes: [processAt(now - 2_000)],
    connections: [connectionAt(now - 2_000), connectionAt(now - 1_500)],
    listeners: [listenerAt(now - 2_000)],
    collectors: [{ collector: "processes", status: "ok", reason: "", missing_fields: [] }],
    drops: [{ kind: "batches", reason: "spool full", count: 2 }],
    ...changes,
  };
}

export function processAt(at: number): TelemetryBatch["processes"][number] {
  return {
    at,
    pid: 42,
    parent_pid: 1,
    started_at: at,
    already_running: false,
    image: "/usr/bin/sleep",
    image_deleted: false,
    command_line: "sleep 60",
    current_directory: "/",
    user: "root",
    parent_image: "/sbin/init",
    parent_command_line: "/sbin/init",
    parent_user: "root",
    parent_listens: [22],
    ancestors: ["/sbin/init"],
  };
}

export function connectionAt(at: number): TelemetryBatch["connections"][number] {
  return {
    at,
    opened_at: at,
    protocol: "tcp",
    side: "source",
    source_address: "10.0.0.1",
    source_port: 40_000,
    destination_address: "10.0.0.2",
    destination_port: 443,
    pid: 42,
    image: "/usr/bin/curl",
    command_line: "curl https://10.0.0.2",
    user: "root",
    ancestors: [],
  };
}

export function listenerAt(at: number): TelemetryBatch["listeners"][number] {
  return {
    at,
    protocol: "tcp",
    address: "0.0.0.0",
    port: 22,
    pid: 7,
    image: "/usr/sbin/sshd",
    command_line: "sshd -D",
    user: "root",
    application_protocol: "ssh",
    channel: "unknown",
    tls: null,
  };
}

export function sectionOf(changes: Partial<InventorySection> = {}): InventorySection {
  const content = Buffer.from(JSON.stringify({ settings: { PermitRootLogin: "no" }, sources: {} }));
  const now = Date.now();
  return {
    host_id,
    host_name: "one",
    incarnation: now - 60_000,
    section: "sshd",
    collected_at: now - 1_000,
    sent_at: now,
    digest: createHash("sha256").update(content).digest("hex"),
    status: "collected",
    reason: "",
    chunk: 0,
    chunks: 1,
    content,
    ...changes,
  };
}

export function telemetryWire(changes: Partial<TelemetryBatch> = {}): Buffer {
  return codec.encode("TelemetryBatch", batchOf(changes));
}
