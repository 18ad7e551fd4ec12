/**
 * One record of an agent, from its request to its answer. 200 means that the log has it. A record that can't be used becomes a
 * dead letter before it is refused, so a refusal loses nothing either, up to the host's allowance of dead letters; where the log takes
 * none, the agent is asked to come back.
 */
import type { IncomingMessage } from "node:http";
import type { Logger } from "@assay/runtime/logger";
import type { Codec } from "@assay/schemas/codec";
import { telemetryKinds } from "@assay/schemas/kinds";
import { topics } from "@assay/schemas/topics";
import { type NewRecord, RecordTooLargeError } from "@assay/stream/log";
import type { AgentDirectory } from "./agent-directory";
import type { Appender } from "./appender";
import { eventsOf } from "./check-telemetry";
import { deadLetter, type RefusedRecord } from "./dead-letter";
import { DeadLetterAllowance } from "./dead-letter-allowance";
import type { IngestMetrics, RecordType } from "./metrics";
import { RecordParser, type Refused } from "./parse-record";
import { quoted } from "./problem";
import { type BodyLimits, readBody } from "./read-body";
import { type Reply, refusal } from "./reply";
import type { IngestSettings } from "./settings";

export interface ReceiverParts {
  readonly codec: Codec;
  readonly appender: Appender;
  readonly metrics: IngestMetrics;
  readonly agents: Pick<AgentDirectory, "inventoryWantedSince">;
  readonly logger: Logger;
}

export class Receiver {
  private readonly parser: RecordParser;
  private readonly bodyLimits: BodyLimits;

  private readonly codec: Codec;
  private readonly appender: Appender;
  private readonly metrics: IngestMetrics;
  private readonly agents: ReceiverParts["agents"];
  private readonly allowance: DeadLetterAllowance;

  constructor(settings: IngestSettings, parts: ReceiverParts) {
    this.codec = parts.codec;
    this.appender = parts.appender;
    this.metrics = parts.metrics;
    this.agents = parts.agents;
    this.allowance = new DeadLetterAllowance(parts.logger);
    this.parser = new RecordParser(parts.codec, settings);
    this.bodyLimits = {
      body_bytes_max: settings.body_bytes_max,
      body_setting: "ASSAY_INGEST_BODY_BYTES_MAX",
      decompressed_bytes_max: settings.decompressed_bytes_max,
      decompressed_setting: "ASSAY_INGEST_DECOMPRESSED_BYTES_MAX",
    };
  }

  telemetry(host_id: string, request: IncomingMessage): Promise<Reply> {
    return this.receive("telemetry", host_id, request, (wire) => {
      const parsed = this.parser.telemetry(wire);
      if (!parsed.ok) return parsed;
      const batch = parsed.value;
      if (batch.host_id !== host_id) return wrongHost(batch.host_id, host_id);
      const now = Date.now();
      return {
        ok: true,
        record: { topic: topics.telemetry.name, key: host_id, value: parsed.wire, timestamp: now },
        accepted: eventsOf(batch),
        ask: this.inventoryAsked(host_id, now),
        count: () => {
          for (const kind of telemetryKinds) this.metrics.events.inc({ kind }, batch[kind].length);
          this.metrics.observeClock(batch.sent_at - now);
        },
      };
    });
  }

  inventory(host_id: string, request: IncomingMessage): Promise<Reply> {
    return this.receive("inventory", host_id, request, (wire) => {
      const parsed = this.parser.inventory(wire);
      if (!parsed.ok) return parsed;
      const { value } = parsed;
      if (value.host_id !== host_id) return wrongHost(value.host_id, host_id);
      const key = `${host_id}/${value.section}/${value.chunk}`;
      return {
        ok: true,
        record: { topic: topics.inventory.name, key, partition_key: host_id, value: parsed.wire, timestamp: Date.now() },
        accepted: 1,
        count: () => undefined,
      };
    });
  }

  private async receive(
    type: RecordType,
    host_id: string,
    request: IncomingMessage,
    admit: (wire: Buffer) => Admitted | Refused,
  ): Promise<Reply> {
    const body = await readBody(request, this.bodyLimits);
    if (body.kind === "gone") return gone;
    const { name: topic } = topics[type];
    if (body.kind === "refused") {
      const { reason, detail, bytes } = body;
      if (reason === "unsupported_encoding") return refusal(415, reason, detail);
      return this.refuse(reason === "out_of_bounds" ? 413 : 400, { host_id, topic, reason, detail, bytes });
    }
    const { bytes } = body;
    const admitted = admit(bytes);
    if (!admitted.ok) {
      const { reason, detail } = admitted;
      return this.refuse(reason === "wrong_host" ? 403 : 400, { host_id, topic, reason, detail, bytes });
    }
    const appended = await this.appender.append(admitted.record);
    if (appended instanceof RecordTooLargeError) {
      return this.refuse(413, { host_id, topic, reason: "out_of_bounds", detail: appended.message, bytes });
    }
    if (appended !== "durable") return appended;
    this.metrics.accepted.inc({ type });
    this.metrics.bytes.inc({ type }, bytes.length);
    admitted.count();
    return { status: 200, body: { accepted: admitted.accepted, ...admitted.ask } };
  }

  /** As an age, since the agent's clock may be another than ours. */
  private inventoryAsked(host_id: string, now: number): { readonly inventory_age_ms_max?: number } {
    const since = this.agents.inventoryWantedSince?.(host_id, now) ?? 0;
    return since > 0 ? { inventory_age_ms_max: Math.max(0, now - since) } : {};
  }

  private async refuse(status: number, refused: RefusedRecord): Promise<Reply> {
    const letter = deadLetter(this.codec, refused, Date.now());
    if (!this.allowance.take(refused.host_id, letter.value?.length ?? 0)) {
      this.metrics.deadLettersNotKept.inc({ reason: refused.reason });
      return refusal(status, refused.reason, refused.detail);
    }
    const kept = await this.appender.append(letter);
    // Its bytes are bounded below any log's limit (dead_letter_bytes_max): a bug of ours.
    if (kept instanceof RecordTooLargeError) throw kept;
    return kept === "durable" ? refusal(status, refused.reason, refused.detail) : kept;
  }
}

interface Admitted {
  readonly ok: true;
  readonly record: NewRecord;
  /** For the answer. */
  readonly accepted: number;
  /** Also for the answer: what the agent should send. */
  readonly ask?: Readonly<Record<string, unknown>>;
  /** Called once it is durable. */
  readonly count: () => void;
}

/** Nobody reads it. */
const gone: Reply = { status: 400, body: null };

function wrongHost(claimed: string, host_id: string): Refused {
  return {
    ok: false,
    reason: "wrong_host",
    detail: `the record is of host ${quoted(claimed)}, the credential of ${quoted(host_id)}`,
  };
}
