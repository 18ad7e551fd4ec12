/** A host that says to ingest exactly what a scenario wants said, right or wrong, and counts what was accepted. */
import type { Codec } from "@assay/schemas/codec";
import type { ProcessEvent, TelemetryBatch } from "@assay/schemas/generated/types";
import { noCounts } from "../audit/recount";
import { askChallenge, type Delivered, enrolHost, processEvent } from "./synthetic-host";

export interface IngestAnswer {
  readonly status: number;
  /** Of the error; empty where there is none. */
  readonly code: string;
  readonly message: string;
  readonly retry_after_s: number;
}

export interface RawRequest {
  readonly path: "/v1/telemetry" | "/v1/inventory" | "/v1/enrol";
  readonly body: Buffer | ReadableStream<Uint8Array>;
  /** Instead of the host's own, or beside them. */
  readonly headers?: Readonly<Record<string, string>>;
}

const answer_wait_ms = 30_000;

export class RawHost {
  private readonly events = noCounts();
  private batches = 0;
  private attempts = 0;
  private seq = 0;
  private credential = "";
  private readonly incarnation = Date.now();

  constructor(
    readonly host_id: string,
    private readonly codec: Codec,
    private readonly ingest_url: string,
    private readonly enrol_secret: string,
  ) {}

  delivered(): Delivered {
    return { batches: this.batches, attempts: this.attempts, events: this.events, marked: {} };
  }

  headers(): Record<string, string> {
    return {
      authorization: `Bearer ${this.credential}`,
      "x-assay-host": this.host_id,
      "content-type": "application/octet-stream",
    };
  }

  challenge(): Promise<string> {
    return askChallenge(this.ingest_url);
  }

  async enrol(): Promise<void> {
    this.credential = await enrolHost(this.ingest_url, this.enrol_secret, this.host_id);
  }

  /** A batch as an agent makes it, with these in it; of the next seq. */
  batch(processes: readonly Partial<ProcessEvent>[], wrong: Partial<TelemetryBatch> = {}): TelemetryBatch {
    const now = Date.now();
    return {
      host_id: this.host_id,
      host_name: this.host_id,
      agent_version: "synthetic",
      incarnation: this.incarnation,
      seq: this.seq + 1,
      sent_at: now,
      observed_from: this.incarnation,
      complete_through: now,
      tags: {},
      processes: processes.map((facts) => processEvent(now, facts)),
      connections: [],
      listeners: [],
      collectors: [],
      drops: [],
      ...wrong,
    };
  }

  async post(request: RawRequest): Promise<IngestAnswer> {
    const { body } = request;
    const response = await fetch(this.ingest_url + request.path, {
      method: "POST",
      headers: request.headers ?? this.headers(),
      signal: AbortSignal.timeout(answer_wait_ms),
      ...(Buffer.isBuffer(body) ? { body: new Uint8Array(body) } : { body, duplex: "half" }),
    } as RequestInit);
    const text = await response.text();
    const { error } = (response.ok ? {} : JSON.parse(text)) as { error?: { code?: string; message?: string } };
    return {
      status: response.status,
      code: error?.code ?? "",
      message: error?.message ?? "",
      retry_after_s: Number(response.headers.get("retry-after") ?? 0),
    };
  }

  /** Counted as delivered where it is accepted. */
  async send(batch: TelemetryBatch): Promise<IngestAnswer> {
    this.attempts++;
    const body = this.codec.encode("TelemetryBatch", { ...batch, sent_at: Date.now() });
    const answer = await this.post({ path: "/v1/telemetry", body });
    if (answer.status !== 200) return answer;
    this.seq = batch.seq;
    this.batches++;
    this.events.processes += batch.processes.length;
    this.events.connections += batch.connections.length;
    this.events.listeners += batch.listeners.length;
    return answer;
  }
}
