import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { readDeadLetters } from "@assay/cli/audit/read-log";
import { parseLetterId } from "@assay/cli/dead-letters/letter";
import { type LettersAnswer, type LettersRequest, perform } from "@assay/cli/dead-letters/perform";
import { letterTable, visible } from "@assay/cli/dead-letters/show";
import { Codec, folderIds } from "@assay/schemas/codec";
import type { DeadLetter, TelemetryBatch } from "@assay/schemas/generated/types";
import { allTopics, topics } from "@assay/schemas/topics";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const codec = new Codec(folderIds());
const limits = { events_max: 10_000, text_bytes_max: 65_536 };
const hour_ms = 3_600_000;
const now = Date.now();

/** What was learnt from. */
let learnt: (Buffer | null)[] = [];
async function learn(records: readonly { readonly value: Buffer | null }[]): Promise<void> {
  learnt.push(...records.map(({ value }) => value));
}

let directory: string;
let log: EmbeddedLog;

beforeEach(async () => {
  learnt = [];
  directory = mkdtempSync(join(tmpdir(), "assay-letters-"));
  log = await openEmbeddedLog({ directory });
  await log.ensureTopics(allTopics);
});

afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

function batch(seq: number, host_id = "h1"): Buffer {
  const value: TelemetryBatch = {
    host_id,
    host_name: host_id,
    agent_version: "1",
    incarnation: now,
    seq,
    sent_at: now - hour_ms,
    observed_from: now - 2 * hour_ms,
    complete_through: now - hour_ms,
    tags: {},
    processes: [],
    connections: [],
    listeners: [],
    collectors: [],
    drops: [],
  };
  return codec.encode("TelemetryBatch", value);
}

/** Returns its id. */
async function given(letter: Partial<DeadLetter>): Promise<string> {
  const whole: DeadLetter = {
    at: now - hour_ms,
    service: "ingest",
    reason: "unknown_schema",
    detail: "schema id 99",
    topic: topics.telemetry.name,
    partition: -1,
    offset: -1,
    host_id: "h1",
    key: Buffer.from("h1"),
    value: batch(1),
    record_timestamp: now - hour_ms,
    ...letter,
  };
  const record = { topic: topics.deadLetters.name, key: whole.key, value: codec.encode("DeadLetter", whole) };
  const [appended] = await log.append([record]);
  return `${appended?.partition}:${appended?.offset}`;
}

async function ask<A extends LettersRequest["action"]>(
  request: Extract<LettersRequest, { action: A }>,
): Promise<Extract<LettersAnswer, { action: A }>> {
  return (await perform(request, { log, codec, learn }, now)) as Extract<LettersAnswer, { action: A }>;
}
const list = (filter = {}, letters_max = 50) => ask({ action: "list", filter, letters_max });
const replay = (id: string) =>
  ask({ action: "replay", which: { id: parseLetterId(id) ?? { partition: 0, offset: 0 } }, limits, really: true });

async function telemetry() {
  const records = [];
  for (let partition = 0; partition < log.partitions(topics.telemetry.name); partition++) {
    records.push(...(await log.read(topics.telemetry.name, partition, 0, 100)));
  }
  return records;
}

test("the newest are listed, by reason, topic and time, and how many there are", async () => {
  for (let i = 0; i < 5; i++) await given({ at: now - i * hour_ms, host_id: `h${i}`, key: Buffer.from(`h${i}`) });
  await given({ reason: "wrong_host", topic: topics.inventory.name, at: now });
  const { lines, total } = await list({}, 3);
  expect(total).toBe(6);
  expect(lines).toHaveLength(3);
  expect(lines.at(-3)?.host_id).toBe("h1");
  expect(await list({ reason: "wrong_host" })).toMatchObject({ total: 1, lines: [{ topic: "assay.inventory" }] });
  expect((await list({ topic: topics.telemetry.name })).total).toBe(5);
  expect((await list({ since: now - 2 * hour_ms })).total).toBe(4);
});

test("a list holds no letter's bytes, however many there are", async () => {
  const value = Buffer.alloc(1_000_000);
  const letters = 60;
  const id = await given({ value });
  const [stood] = await log.read(topics.deadLetters.name, Number(id.split(":")[0]), 0, 1);
  if (!stood?.value) throw new Error("no letter");
  const { value: wire } = stood;
  let held_bytes = 0;
  const many: Parameters<typeof perform>[1]["log"] = {
    partitions: () => 1,
    bounds: async () => ({ earliest: 0, end: letters }),
    async read(_topic, _partition, offset) {
      collectGarbage();
      held_bytes = Math.max(held_bytes, process.memoryUsage().arrayBuffers);
      return [{ ...stood, offset, value: Buffer.from(wire) }];
    },
    append: async () => [],
  };
  const before_bytes = process.memoryUsage().arrayBuffers;
  await perform({ action: "list", filter: {}, letters_max: letters }, { log: many, codec, learn }, now);
  expect(held_bytes - before_bytes).toBeLessThan(20 * value.length);
});

test("one is shown with its content, decoded or else in hex", async () => {
  const good = await given({});
  const bad = await given({ value: Buffer.from([1, 2, 3, 65]), reason: "not_wire_format" });
  const shown = async (id: string) => (await ask({ action: "show", id: parseLetterId(id) ?? { partition: 0, offset: 0 } })).found;
  expect((await shown(good))?.text).toMatch(
    /reason +unknown_schema[\s\S]*never in the log[\s\S]*TelemetryBatch\n\{[\s\S]*"seq": 1/,
  );
  const hex = await shown(bad);
  expect(hex?.text).toContain("00000000  01 02 03 41");
  expect(Buffer.from(hex?.base64 ?? "", "base64")).toEqual(Buffer.from([1, 2, 3, 65]));
  expect(hex?.decoded).toBeUndefined();
  expect(await shown("0:999")).toBeUndefined();
});

test("what ingest refused is replayed under its host's key with the time at which it came", async () => {
  const id = await given({});
  expect(await replay(id)).toMatchObject({ replayed: 1, not: 0 });
  const [record, ...others] = await telemetry();
  expect(others).toEqual([]);
  expect(record).toMatchObject({ key: Buffer.from("h1"), value: batch(1), timestamp: now - hour_ms });
  expect(record?.partition).toBe(log.partitionOf(topics.telemetry.name, "h1"));
});

test("what a stage could not use is replayed where it was", async () => {
  const partition = (log.partitionOf(topics.telemetry.name, "h1") + 1) % log.partitions(topics.telemetry.name);
  const id = await given({ service: "correlator", partition, offset: 7 });
  expect(await replay(id)).toMatchObject({ replayed: 1 });
  expect(await telemetry()).toMatchObject([{ partition, key: Buffer.from("h1") }]);
});

test("a replay is noted: the list shows it, a second one is refused, and no audit counts the note", async () => {
  const id = await given({ service: "correlator", partition: 0, offset: 7 });
  const before = await readDeadLetters(log, codec);
  await replay(id);
  expect(await list()).toMatchObject({ total: 1, lines: [{ id, replayed_at: new Date(now).toISOString() }] });
  expect(await replay(id)).toMatchObject({ replayed: 0, not: 1, reasons: [{ not: expect.stringMatching(/replayed already/) }] });
  expect(await telemetry()).toHaveLength(1);
  expect(await readDeadLetters(log, codec)).toEqual(before);
});

test("the schema of what stood in the log is learnt before it is shown or judged; agents have the folder's", async () => {
  const inLog = await given({ partition: 0, offset: 7, value: batch(1) });
  const refused = await given({ value: batch(2) });
  await ask({ action: "show", id: parseLetterId(inLog) ?? { partition: 0, offset: 0 } });
  expect(learnt).toEqual([batch(1)]);
  await replay(refused);
  await replay(inLog);
  expect(learnt).toEqual([batch(1), batch(1)]);
});

test("a replay that fails midway says how far it came, and the next one goes on from there", async () => {
  for (const seq of [1, 2, 3]) await given({ value: batch(seq) });
  const which = { filter: { reason: "unknown_schema" } };
  let left = 2 * 2;
  const append: EmbeddedLog["append"] = async (records) => {
    if (left-- <= 0) throw new Error("brokers are away");
    return log.append(records);
  };
  const request = { action: "replay", which, limits, really: true } as const;
  const { partitions, read, bounds } = log;
  const failing = { partitions: partitions.bind(log), read: read.bind(log), bounds: bounds.bind(log), append };
  await expect(perform(request, { log: failing, codec, learn }, now)).rejects.toThrow(
    "the replay failed after 2 letters: brokers are away. It can be run again: what was replayed is left then",
  );
  expect(await ask(request)).toMatchObject({ replayed: 1, not: 2 });
  expect(await telemetry()).toHaveLength(3);
});

test("an audit counts what ingest refused and was replayed since apart", async () => {
  const id = await given({});
  await given({ value: batch(2) });
  expect(await readDeadLetters(log, codec)).toMatchObject({ refused: { unknown_schema: 2 }, replayed: {} });
  await replay(id);
  expect(await readDeadLetters(log, codec)).toMatchObject({ refused: { unknown_schema: 1 }, replayed: { unknown_schema: 1 } });
});

test.each<[string, Partial<DeadLetter>, RegExp]>([
  ["bytes that are no record", { value: Buffer.from("nothing") }, /refused again: not_wire_format/],
  ["bytes that were not kept", { value: null }, /its bytes were not kept/],
  ["bytes of which only the first were kept", { value: batch(1).subarray(0, 40) }, /refused again: malformed_body/],
  ["a batch of another host", { value: batch(1, "h2") }, /refused again: wrong_host/],
  [
    "another host's batch from the log",
    { partition: 0, offset: 3, value: batch(1, "h2") },
    /a batch of host h2 under the key h1/,
  ],
  [
    "a record that its topic isn't for",
    { topic: topics.inventory.name, partition: 0, offset: 3 },
    /TelemetryBatch is not for assay.inventory/,
  ],
  ["telemetry that is older than its topic keeps", { record_timestamp: now - 23.5 * hour_ms }, /24 h old/],
  ["a topic that there isn't", { topic: "other" }, /there is no topic other/],
])("%s can't be replayed", async (_, letter, why) => {
  const id = await given(letter);
  expect(await replay(id)).toMatchObject({ replayed: 0, not: 1, reasons: [{ id, not: expect.stringMatching(why) }] });
  expect(await telemetry()).toEqual([]);
  expect((await list()).lines[0]?.replayed_at).toBeNull();
});

test("by filter they are counted first, and replayed only then", async () => {
  for (const seq of [1, 2, 3]) await given({ value: batch(seq) });
  await given({ value: null });
  const which = { filter: { reason: "unknown_schema" } };
  expect(await ask({ action: "replay", which, limits, really: false })).toMatchObject({ replayed: 3, not: 1 });
  expect(await telemetry()).toEqual([]);
  expect(await ask({ action: "replay", which, limits, really: true })).toMatchObject({ replayed: 3, not: 1 });
  expect(await telemetry()).toHaveLength(3);
});

test("what an agent wrote can't act on the terminal", async () => {
  expect(visible("a\u001b[31mb\u202ec\n")).toBe("a\\u001b[31mb\\u202ec\\u000a");
  expect(JSON.parse(`"${visible("\u{e0041}")}"`)).toBe("\u{e0041}");
  await given({ host_id: "h\u001b]0;x", detail: "\u001b[2J" });
  expect(letterTable((await list()).lines)).not.toContain("\u001b");
});
