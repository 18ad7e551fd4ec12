/**
 * From an agent's bytes to a record that may stand in the log: wire header, bounds, decoding, meaning, in this order, so that
 * each step may trust the one before. What is refused says why, in the words of dead letters.
 */
import { type BoundsLimits, type BoundsVerdict, compileBounds } from "@assay/schemas/bounds";
import { Codec, folderIds, type SchemaIds, type Undecodable, wireHeaderBytes } from "@assay/schemas/codec";
import type { DeadLetterReason } from "@assay/schemas/dead-letter-reasons";
import type { SchemaVersion } from "@assay/schemas/generated/schemas";
import type { InventorySection } from "@assay/schemas/generated/types";
import { inventoryProblem } from "./check-inventory";
import { type CheckedBatch, checkedBatch, telemetryProblem } from "./check-telemetry";
import type { Problem } from "./problem";
import { chunk_bytes_max, elements_total_max, type IngestSettings, nested_elements_max } from "./settings";

export type AgentSchema = "TelemetryBatch" | "InventorySection";
export type Parsed<V> =
  | {
      readonly ok: true;
      readonly value: V;
      /** For the log: under its codec's current id. */
      readonly wire: Buffer;
    }
  | Refused;
export interface Refused {
  readonly ok: false;
  readonly reason: DeadLetterReason;
  readonly detail: string;
}

type ParseLimits = Pick<IngestSettings, "events_max" | "text_bytes_max">;

export class RecordParser {
  private readonly agentCodec: Codec;
  private readonly bounds = new Map<number, (body: Buffer) => BoundsVerdict>();

  /** codec: the log's. ids: the agents', which are the schemas folder's whatever ids the log has. */
  constructor(
    private readonly codec: Codec,
    private readonly limits: ParseLimits,
    private readonly ids: SchemaIds = folderIds(),
  ) {
    this.agentCodec = new Codec(ids);
  }

  telemetry(wire: Buffer): Parsed<CheckedBatch> {
    const decode = () => this.agentCodec.decodePart(checkedBatch, wire);
    return this.parse("TelemetryBatch", wire, decode, (batch: CheckedBatch) => telemetryProblem(batch, this.limits));
  }

  inventory(wire: Buffer): Parsed<InventorySection> {
    return this.parse("InventorySection", wire, () => this.agentCodec.decode(wire), inventoryProblem);
  }

  private parse<V>(
    name: AgentSchema,
    wire: Buffer,
    decode: () => { readonly name: string; readonly value: unknown } | Undecodable,
    problemOf: (value: V) => Problem | undefined,
  ): Parsed<V> {
    if (wire.length < wireHeaderBytes || wire[0] !== 0) {
      return refused("not_wire_format", `${wire.length} bytes that don't begin with the wire format's zero byte and schema id`);
    }
    const id = wire.readUInt32BE(1);
    const writer = this.ids.writer(id);
    if (!writer) return refused("unknown_schema", `schema id ${id} is not known: the agent may be newer than this service`);
    if (writer.name !== name) return refused("unexpected_schema", `${writer.name} where ${name} is due`);
    const verdict = this.boundsOf(id, writer.schema)(wire.subarray(wireHeaderBytes));
    if (!verdict.within) return refused(verdict.reason, verdict.detail);
    const decoded = decode();
    if ("reason" in decoded) return refused(decoded.reason, decoded.detail);
    const value = decoded.value as V;
    const problem = problemOf(value);
    if (problem) return refused(problem.reason, problem.detail);
    return { ok: true, value, wire: this.forLog(name, id, wire) };
  }

  /** Bytes of an older version must not go on under the current one's id: those are written anew. */
  private forLog(name: AgentSchema, id: number, wire: Buffer): Buffer {
    if (this.ids.currentId(name) === id) return this.codec.withCurrentId(name, wire);
    const whole = this.agentCodec.decode(wire);
    if (whole.name !== name) throw new Error(`a ${name} that could be read in part can't be read whole: ${whole.name}`);
    return this.codec.encode(name, whole.value);
  }

  private boundsOf(id: number, schema: SchemaVersion["schema"]): (body: Buffer) => BoundsVerdict {
    const bounds = this.bounds.get(id) ?? compileBounds(schema, boundsLimits(this.limits));
    this.bounds.set(id, bounds);
    return bounds;
  }
}

function boundsLimits(limits: ParseLimits): BoundsLimits {
  return {
    text_bytes: { max: limits.text_bytes_max, name: "ASSAY_INGEST_TEXT_BYTES_MAX" },
    binary_bytes: { max: chunk_bytes_max, name: "chunk_bytes_max" },
    elements: { max: limits.events_max, name: "ASSAY_INGEST_EVENTS_MAX" },
    nested_elements: { max: nested_elements_max, name: "nested_elements_max" },
    elements_total: { max: elements_total_max, name: "elements_total_max" },
  };
}

function refused(reason: DeadLetterReason, detail: string): Refused {
  return { ok: false, reason, detail };
}
