import { ControlView, versions_max } from "@assay/control/follow";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { ControlRecord } from "@assay/schemas/generated/types";
import type { LogRecord } from "@assay/stream/log";

const codec = new Codec(folderIds());

/** A view of a topic that holds these records. */
function viewOf(records: readonly ControlRecord[], empty_reads = 0): Promise<ControlView> {
  let empty = empty_reads;
  const log = {
    bounds: async () => ({ earliest: 0, end: records.length }),
    read: async (topic: string, partition: number, offset: number): Promise<readonly LogRecord[]> =>
      records.slice(empty-- > 0 ? records.length : offset).map((record, i) => ({
        topic,
        partition,
        offset: offset + i,
        key: null,
        value: codec.encode("ControlRecord", record),
        timestamp: 0,
      })),
  };
  return ControlView.open(log as unknown as Parameters<typeof ControlView.open>[0], codec);
}

const tags = (version: number, command_id: string, value: string): ControlRecord => ({
  kind: "host",
  id: "h1",
  version,
  at: version,
  effective_from: version,
  command_id,
  body: JSON.stringify({ tags: { owner: value } }),
});
const accepted = (command_id: string, version: number): ControlRecord => ({
  kind: "answer",
  id: command_id,
  version: 1,
  at: 1,
  effective_from: 1,
  command_id,
  body: JSON.stringify({ result: "accepted", kind: "host", id: "h1", version }),
});
const rejected = (command_id: string): ControlRecord => ({
  ...accepted(command_id, 1),
  body: JSON.stringify({ result: "rejected", reason: "version_conflict", detail: "host h1 is at version 1, not 0" }),
});

const owner = (view: ControlView) => view.latest("host", "h1")?.value.tags.owner;

test("of two records of one version the first in the log stands, and the other's command isn't answered as accepted", async () => {
  const view = await viewOf([tags(1, "a", "first"), accepted("a", 1), tags(1, "b", "second"), accepted("b", 1)]);
  expect(owner(view)).toBe("first");
  expect(view.answerTo("a")).toMatchObject({ result: "accepted", version: 1 });
  expect(view.answerTo("b")).toBeUndefined();
});

test("a command whose record came too late is answered by who decides it again", async () => {
  const late = [tags(1, "a", "first"), accepted("a", 1), tags(1, "b", "second"), accepted("b", 1)];
  expect((await viewOf([...late, rejected("b")])).answerTo("b")).toMatchObject({ result: "rejected" });
  const again = await viewOf([...late, tags(2, "b", "second"), accepted("b", 2)]);
  expect(again.answerTo("b")).toMatchObject({ result: "accepted", version: 2 });
  expect(owner(again)).toBe("second");
});

test("what a command did twice counts once", async () => {
  const view = await viewOf([tags(1, "a", "x"), accepted("a", 1), tags(2, "a", "y"), accepted("a", 2), rejected("a")]);
  expect(owner(view)).toBe("x");
  expect(view.versions("host", "h1")).toHaveLength(1);
  expect(view.answerTo("a")).toMatchObject({ result: "accepted", version: 1 });
});

test("a version below the newest is too late as well", async () => {
  const view = await viewOf([
    tags(1, "a", "x"),
    accepted("a", 1),
    tags(3, "c", "z"),
    accepted("c", 3),
    tags(2, "b", "y"),
    accepted("b", 2),
  ]);
  expect(owner(view)).toBe("z");
  expect(view.answerTo("b")).toBeUndefined();
});

test("a version whose answer was never written is known by its command", async () => {
  const view = await viewOf([tags(1, "a", "x")]);
  expect(view.answerTo("a")).toBeUndefined();
  expect(view.madeBy("a")).toEqual({ kind: "host", id: "h1", version: 1 });
  expect((await viewOf([tags(1, "a", "x"), accepted("a", 1)])).madeBy("a")).toBeUndefined();
});

test("a read that brings nothing before the end is made again, and is an error where that doesn't end", async () => {
  expect(owner(await viewOf([tags(1, "a", "x")], 3))).toBe("x");
  await expect(viewOf([tags(1, "a", "x")], 1_000)).rejects.toThrow(
    /assay.control ends at 1, but \d+ reads from offset 0 gave no record/,
  );
});

test("what may have been in force before the oldest kept version is told as forgotten", async () => {
  const one_more = Array.from({ length: versions_max.host + 1 }, (_, n) => tags(n + 1, `c${n}`, "x"));
  const view = await viewOf(one_more);
  expect(view.versionAt("host", "h1", 1)).toBeUndefined();
  expect(view.forgotten("host", 1)).toEqual(["h1"]);
  expect(view.forgotten("host", 2)).toEqual([]);
  expect((await viewOf(one_more.slice(0, -1))).forgotten("host", 0)).toEqual([]);
});
