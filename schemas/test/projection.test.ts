import { Codec, folderIds } from "../src/codec";
import type { ProcessEvent, TelemetryBatch } from "../src/generated/types";
import { projection } from "../src/projection";

const codec = new Codec(folderIds());
const process: ProcessEvent = {
  at: 5,
  pid: 6,
  parent_pid: 1,
  started_at: 5,
  already_running: false,
  image: "/bin/true",
  image_deleted: false,
  command_line: "true",
  current_directory: "/",
  user: "root",
  parent_image: "",
  parent_command_line: "",
  parent_user: "",
  parent_listens: [80],
  ancestors: ["init"],
};
const batch: TelemetryBatch = {
  host_id: "h",
  host_name: "h",
  agent_version: "1",
  incarnation: 1,
  seq: 2,
  sent_at: 3,
  observed_from: 1,
  complete_through: 3,
  tags: { role: "web" },
  processes: [process],
  connections: [],
  listeners: [],
  collectors: [],
  drops: [],
};
const part = projection("TelemetryBatch", { host_id: true, tags: true, processes: ["at", "parent_listens"] });

it("decodes the fields that it keeps, and no others", () => {
  expect(codec.decodePart(part, codec.encode("TelemetryBatch", batch))).toEqual({
    name: "TelemetryBatch",
    value: { host_id: "h", tags: { role: "web" }, processes: [{ at: 5, parent_listens: [80] }] },
  });
});

it("leaves records of another name whole, and tells what can't be read as decode does", () => {
  const progress = codec.encode("HostSilent", { host_id: "h", incarnation: 1, seq: 2, silent_since: 3, at: 4, timeout_ms: 5 });
  expect(codec.decodePart(part, progress)).toEqual(codec.decode(progress));
  const wire = codec.encode("TelemetryBatch", batch);
  expect(codec.decodePart(part, wire.subarray(0, -2))).toMatchObject({ name: "undecodable", reason: "malformed_body" });
  for (const bytes of [Buffer.alloc(0), Buffer.from("rubbish"), Buffer.from([0, 0, 0, 9, 9, 1])]) {
    expect(codec.decodePart(part, bytes)).toEqual(codec.decode(bytes));
  }
});

it("refuses fields that the schema hasn't", () => {
  expect(() => projection("TelemetryBatch", { nothing: true } as never)).toThrow("TelemetryBatch has no field nothing");
  expect(() => projection("TelemetryBatch", { processes: ["nothing"] } as never)).toThrow("ProcessEvent has no field nothing");
});
