/**
 * Delivery through ingest, over HTTP.
 *
 *   no credential yet ──▶ enrolling ──▶ sending ──2xx──▶ delivered
 *                             ▲            ├── 401: the credential is no good ──▶ enrolling at the next attempt, where there is a secret
 *                             └────────────┤
 *                                          ├── 400, 413, 415, 422: it can't be used
 *                                          ├── 403 wrong_host: it is of another host
 *                                          └── anything else, or no answer: away
 *
 * A 401 proves nothing: over plain HTTP another process may have ingest's port while ingest is away. So the credential stays until an
 * ingest that has proved the secret has taken another one, and is tried again where it hasn't. See enrol.ts.
 */
import type { Codec } from "@assay/schemas/codec";
import type { Delivery, Outcome } from "./delivery";
import { enrol, field } from "./enrol";
import type { Answer, HttpClient } from "./http-client";
import type { AgentLogger } from "./logger";
import type { Waiting } from "./spool";
import type { StateFolder } from "./state-folder";

export interface IngestDeliveryOptions {
  readonly client: HttpClient;
  readonly state: StateFolder;
  readonly codec: Codec;
  readonly logger: AgentLogger;
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  readonly secret: string | undefined;
  readonly now: () => number;
}

export class IngestDelivery implements Delivery {
  private credential: string | undefined;
  /** By the latest answer to what was sent with it. */
  private isRefused = false;

  constructor(private readonly options: IngestDeliveryOptions) {
    this.credential = options.state.credential();
  }

  async deliver(next: Waiting, signal: AbortSignal): Promise<Outcome> {
    try {
      if (this.credential === undefined || this.isRefused) {
        this.isRefused = false;
        const refused = await this.enrol(signal);
        if (refused) return away("enrolment failed", refused);
      }
      return this.judge(next, await this.send(next, signal));
    } catch (error) {
      return { kind: "away", message: "ingest is not reachable", status: 0, reason: (error as Error).message };
    }
  }

  async close(): Promise<void> {
    this.options.client.close();
  }

  private send(next: Waiting, signal: AbortSignal): Promise<Answer> {
    const { codec, client, now, host_id } = this.options;
    const sent_at = now();
    const [path, body] =
      next.kind === "telemetry"
        ? ["/v1/telemetry", codec.encode("TelemetryBatch", { ...next.value, sent_at })]
        : ["/v1/inventory", codec.encode("InventorySection", { ...next.value, sent_at })];
    const headers = {
      "content-type": "application/vnd.assay.avro",
      authorization: `Bearer ${this.credential}`,
      "x-assay-host": host_id,
    };
    return client.post(path, headers, body, signal);
  }

  private judge(next: Waiting, answer: Answer): Outcome {
    const { secret, host_id } = this.options;
    if (answer.status >= 200 && answer.status < 300) {
      const inventory_age_ms_max = inventoryAgeOf(answer.body);
      return { kind: "delivered", ...(inventory_age_ms_max === undefined ? {} : { inventory_age_ms_max }) };
    }
    if (unusable.has(answer.status)) {
      const fields = { status: answer.status, reason: answer.body };
      return { kind: "unusable", counted_as: "rejected", message: "ingest can't use this; dropped", fields };
    }
    if (answer.status === 403 && codeOf(answer.body) === "wrong_host") {
      // The spool is of another identity than the agent's: its host-id file was lost or replaced. No credential that this agent may
      // have would bring it in, so to wait would hold up all that comes after it.
      const fields = { host_id, of_host: next.value.host_id };
      const message = "spooled by another host than this agent is now; dropped";
      return { kind: "unusable", counted_as: "wrong_host", message, fields };
    }
    if (answer.status === 401) {
      this.isRefused = secret !== undefined;
      return away("ingest refuses the credential", answer);
    }
    return away("ingest does not take batches", answer);
  }

  /** Undefined where it went well. */
  private async enrol(signal: AbortSignal): Promise<Answer | undefined> {
    const { client, secret, host_id, host_name, agent_version, state, logger } = this.options;
    if (secret === undefined) {
      return { status: 0, body: "there is no credential and no secret (ASSAY_AGENT_ENROL_SECRET)", retry_after_ms: undefined };
    }
    const enrolled = await enrol(client, secret, { host_id, host_name, agent_version }, signal);
    if (enrolled.kind === "refused") return enrolled.answer;
    this.credential = enrolled.credential;
    state.keepCredential(enrolled.credential);
    logger.info({ host_id }, "enrolled");
    return undefined;
  }
}

const unusable = new Set([400, 413, 415, 422]);

function away(message: string, { status, body, retry_after_ms }: Answer): Outcome {
  return { kind: "away", message, status, reason: body, retry_after_ms };
}

function inventoryAgeOf(body: string): number | undefined {
  const age_ms_max = field(body, (answer) => answer.inventory_age_ms_max);
  return typeof age_ms_max === "number" && age_ms_max >= 0 ? age_ms_max : undefined;
}

function codeOf(body: string): unknown {
  return field(body, (answer) => (answer.error as { code?: unknown } | undefined)?.code);
}
