import { RecordParser } from "@assay/ingest/parse-record";
import { folderIds, type SchemaIds } from "@assay/schemas/codec";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import { Type } from "avsc";
import fc from "fast-check";
import { batchOf, codec, sectionOf, telemetryWire } from "./given-ingest";

const limits = { events_max: 1_000, text_bytes_max: 4_096 };
const parser = new RecordParser(codec, limits);

describe("RecordParser", () => {
  test("refuses a batch cut at any byte, and says so without throwing", () => {
    const wire = telemetryWire();
    expect(parser.telemetry(wire).ok).toBe(true);
    for (let length = 0; length < wire.length; length++) {
      const reason = length < 5 ? "not_wire_format" : "malformed_body";
      expect(parser.telemetry(wire.subarray(0, length))).toMatchObject({ ok: false, reason });
    }
  });

  test("ends in a verdict for a batch with any bytes changed", () => {
    const wire = telemetryWire();
    const change = fc.tuple(fc.nat({ max: wire.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const corrupt = Buffer.from(wire);
        for (const [at, byte] of changes) corrupt[at] = byte;
        const parsed = parser.telemetry(corrupt);
        // What is taken can be read by everybody after.
        if (parsed.ok) expect(codec.decode(parsed.wire).name).toBe("TelemetryBatch");
        else expect(parsed.detail).not.toBe("");
      }),
      { numRuns: 1_000 },
    );
  });

  test("writes an older version's record anew, under the current id", () => {
    const ids = folderIds();
    const current = schemaVersions.find((v) => v.name === "InventorySection");
    if (!current) throw new Error("no InventorySection");
    const { fields, ...record } = current.schema as unknown as { fields: { name: string }[] };
    // Another order of fields stands for another version: the same bytes mean something else.
    const older = { ...record, fields: fields.toReversed() } as unknown as typeof current.schema;
    const bothIds: SchemaIds = {
      ...ids,
      writer: (id) => (id === 700 ? { name: "InventorySection", schema: older } : ids.writer(id)),
    };
    const section = sectionOf();
    const wire = Buffer.concat([Buffer.from([0, 0, 0, 700 >> 8, 700 & 255]), Type.forSchema(older).toBuffer(section)]);
    const parsed = new RecordParser(codec, limits, bothIds).inventory(wire);
    if (!parsed.ok) throw new Error(parsed.detail);
    expect(parsed.wire.equals(codec.encode("InventorySection", section))).toBe(true);
  });

  test("takes a batch at its limit", () => {
    const events = batchOf().listeners;
    const listeners = Array.from({ length: limits.events_max }, () => events[0] as (typeof events)[number]);
    expect(parser.telemetry(telemetryWire({ processes: [], connections: [], listeners })).ok).toBe(true);
  });
});
