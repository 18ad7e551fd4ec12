import { Codec, folderIds, type SchemaIds, type SchemaName } from "@assay/schemas/codec";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import type { ListenerEvent, SchemaTypes } from "@assay/schemas/generated/types";
import { type Schema, Type } from "avsc";
import fc from "fast-check";
import { arbitraryOf } from "./arbitrary-record";

const codec = new Codec(folderIds());
const newest = [...new Map(schemaVersions.map((v) => [v.name, v])).values()];

const progress: SchemaTypes["Progress"] = {
  stage: "evaluator",
  partition: 3,
  position: 42,
  at: 1_700_000_000_000,
  hosts: { a: 1, b: 2 },
};

describe("Codec", () => {
  test.each(newest.map((v) => [v.name, v] as const))("reads any %s as it was written", (name, version) => {
    fc.assert(
      fc.property(arbitraryOf(version.schema), (value) => {
        const decoded = codec.decode(codec.encode(name, value as SchemaTypes[SchemaName]));
        expect(decoded).toEqual({ name, value });
      }),
      { numRuns: 30 },
    );
  });

  test("encodes what is larger than its first buffer", () => {
    const value = { ...progress, stage: "s".repeat(300_000) };
    expect(codec.decode(codec.encode("Progress", value))).toEqual({ name: "Progress", value });
  });

  test("names an id that it doesn't know", () => {
    const wire = codec.encode("Progress", progress);
    wire.writeUInt32BE(9999, 1);
    expect(codec.decode(wire)).toEqual({ name: "undecodable", reason: "unknown_schema", detail: "schema id 9999" });
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["fewer bytes than the header", Buffer.from([0, 0, 0])],
    ["another first byte", Buffer.from([1, 0, 0, 0, 12, 0])],
  ])("refuses %s", (_, wire) => {
    expect(codec.decode(wire)).toMatchObject({ name: "undecodable", reason: "not_wire_format" });
  });

  test("refuses a record cut at any byte, and one with a byte too many", () => {
    const wire = codec.encode("Progress", progress);
    for (let length = 0; length < wire.length; length++) {
      expect(codec.decode(wire.subarray(0, length)).name).toBe("undecodable");
    }
    expect(codec.decode(Buffer.concat([wire, Buffer.from([0])])).name).toBe("undecodable");
  });

  test("passes bytes on under another id", () => {
    const ids: SchemaIds = { currentId: () => 700, writer: () => undefined };
    const wire = codec.encode("Progress", progress);
    const passed = new Codec(ids).withCurrentId("Progress", wire);
    expect(passed.readUInt32BE(1)).toBe(700);
    expect(passed.subarray(5).equals(wire.subarray(5))).toBe(true);
    expect(codec.decode(wire).name).toBe("Progress"); // the original is untouched
  });

  test("says what of a schema, not of a record, can't be read, and goes on", () => {
    const ids = folderIds();
    const renamed = { type: "record", name: "assay.Progress", fields: [{ name: "other", type: "string" }] } as unknown as Schema;
    const registry: SchemaIds = {
      ...ids,
      writer: (id) => (id === 700 ? { name: "Progress", schema: renamed } : ids.writer(id)),
      refusal: (id) => (id === 701 ? "is no schema of Assay's" : undefined),
    };
    const strict = new Codec(registry);
    const under = (id: number) => new Codec({ ...registry, currentId: () => id }).encode("Progress", progress);
    for (let i = 0; i < 2; i++) {
      expect(strict.decode(under(700))).toEqual({
        name: "undecodable",
        reason: "incompatible_schema",
        detail: expect.stringMatching(/^schema id 700: .*can't read that Progress: /),
      });
      expect(strict.decode(under(701))).toEqual({
        name: "undecodable",
        reason: "incompatible_schema",
        detail: "schema id 701: is no schema of Assay's",
      });
      expect(strict.decode(under(702))).toMatchObject({ reason: "unknown_schema" });
      expect(strict.decode(strict.encode("Progress", progress))).toEqual({ name: "Progress", value: progress });
    }
  });

  test("reads an older writer's record, with defaults for what it lacked", () => {
    const ids = folderIds();
    const current = newest.find((v) => v.name === "TelemetryBatch")?.schema;
    const older = JSON.parse(JSON.stringify(current), (_, value) =>
      isField(value, "tls") ? undefined : withoutHoles(value),
    ) as Schema;
    expect(JSON.stringify(older)).not.toContain("TlsFacts");
    const bothIds: SchemaIds = {
      ...ids,
      writer: (id) => (id === 700 ? { name: "TelemetryBatch", schema: older } : ids.writer(id)),
    };
    const { tls: _, ...olderListener } = listener;
    const body = Type.forSchema(older).toBuffer({ ...batch, listeners: [olderListener] });
    const decoded = new Codec(bothIds).decode(Buffer.concat([Buffer.from([0, 0, 0, 700 >> 8, 700 & 255]), body]));
    expect(decoded).toEqual({ name: "TelemetryBatch", value: { ...batch, listeners: [listener] } });
  });
});

function isField(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && "name" in value && value.name === name;
}
function withoutHoles(value: unknown): unknown {
  return Array.isArray(value) ? value.filter((item) => item !== undefined) : value;
}

const listener: ListenerEvent = {
  at: 1,
  protocol: "tcp",
  address: "::",
  port: 22,
  pid: 1,
  image: "/usr/sbin/sshd",
  command_line: "sshd -D",
  user: "root",
  application_protocol: "ssh",
  channel: "unknown",
  tls: null,
};
const batch: SchemaTypes["TelemetryBatch"] = {
  host_id: "h",
  host_name: "h",
  agent_version: "0",
  incarnation: 1,
  seq: 1,
  sent_at: 1,
  observed_from: 1,
  complete_through: 1,
  tags: {},
  processes: [],
  connections: [],
  listeners: [],
  collectors: [],
  drops: [],
};
