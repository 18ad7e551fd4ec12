/** What a setup asks of the coordinator, on an embedded log: without one that runs, beside one, and beside another setup. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askCoordinator, type CoordinatorPlan } from "@assay/cli/distributed/ask-coordinator";
import { sha256 } from "@assay/cli/embedded/data-directory";
import { appendCommand } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import { ControlView } from "@assay/control/follow";
import { runCoordinator } from "@assay/correlator/coordinator/run-coordinator";
import { correlatorSettings } from "@assay/correlator/settings";
import { createLogger } from "@assay/runtime/logger";
import { readSettings } from "@assay/runtime/settings";
import { Codec, folderIds } from "@assay/schemas/codec";
import { allTopics } from "@assay/schemas/topics";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";

const codec = new Codec(folderIds());
const plan: CoordinatorPlan = { packages: [], api_key: undefined, enrol_secret: "s", wait_ms: 0 };
const never = new AbortController().signal;
let directory: string;
let log: EmbeddedLog;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-setup-"));
  log = await openEmbeddedLog({ directory });
  await log.ensureTopics(allTopics);
});

afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

async function setUp(changes: Partial<CoordinatorPlan> = {}, on: Partial<EmbeddedLog> = {}) {
  const lines: string[] = [];
  const through = new Proxy(log, { get: (of, name) => Reflect.get(on, name) ?? bound(of, name) });
  const result = await askCoordinator({ ...plan, ...changes }, { log: through, codec }, (line) => lines.push(line), never);
  return { ...result, lines, key: /^ {2}(\S{43})$/m.exec(lines.join("\n"))?.[1] };
}

function bound(of: EmbeddedLog, name: string | symbol): unknown {
  const found: unknown = Reflect.get(of, name);
  return typeof found === "function" ? found.bind(of) : found;
}

/** Carries out what stands in the log, and ends. */
async function carryOut(): Promise<ControlView> {
  const read = readSettings(correlatorSettings, {});
  if (!read.ok) throw new Error(read.problems.join());
  const running = await runCoordinator(log, codec, read.settings, createLogger({ service: "test", level: "silent" }));
  const control = await ControlView.open(log, codec);
  await appendCommand(log, codec, putKey("last", 0), "test");
  while (control.latest("key", "last") === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await control.refresh();
  }
  await running.stop();
  return control;
}

function putKey(id: string, expected_version: number, secret = "k".repeat(32)): CommandBody {
  const key = { name: id, role: "admin" as const, key_sha256: sha256(secret), revoked: false };
  return { type: "put_key", id, expected_version, key };
}

test("a key is made once, and stands in the log until the coordinator runs", async () => {
  const first = await setUp();
  expect(first).toMatchObject({ unanswered: 1, key: expect.any(String) });
  expect(await setUp()).toMatchObject({ unanswered: 1, key: undefined });
  const control = await carryOut();
  expect(control.latest("key", "setup")?.value.key_sha256).toBe(sha256(first.key ?? ""));
  expect(await setUp()).toMatchObject({ unanswered: 0, key: undefined });
});

test("of two setups at the same time only that shows a key whose key counts", async () => {
  let other: Awaited<ReturnType<typeof setUp>> | undefined;
  // Its key is asked for when this one has looked and not yet asked.
  const meanwhile = {
    async append(records: Parameters<EmbeddedLog["append"]>[0]) {
      other ??= await setUp();
      return log.append(records);
    },
  };
  const late = await setUp({}, meanwhile);
  expect(late.key).toBeUndefined();
  expect(late.lines).toContain("API key     made by another setup at the same time, which shows it");
  const control = await carryOut();
  expect(control.latest("key", "setup")?.value.key_sha256).toBe(sha256(other?.key ?? ""));
  // What was refused to the late one is nobody's failure.
  expect(await setUp({ wait_ms: 1_000 })).toMatchObject({ unanswered: 0 });
});

test("what is carried out while it looks is not asked for again", async () => {
  const { key } = await setUp();
  let carried_out: Promise<ControlView> | undefined;
  const bounds: EmbeddedLog["bounds"] = async (topic, partition) => {
    const found = await log.bounds(topic, partition);
    carried_out ??= carryOut();
    await carried_out;
    return found;
  };
  const again = await setUp({ wait_ms: 1_000 }, { bounds });
  expect(again).toMatchObject({ unanswered: 0, lines: [expect.anything(), "API key     made at an earlier setup"] });
  expect((await ControlView.open(log, codec)).latest("key", "setup")?.value.key_sha256).toBe(sha256(key ?? ""));
});

test("a given key that another one was faster than is not passed over", async () => {
  const given = "g".repeat(32);
  let done = false;
  const meanwhile = {
    async append(records: Parameters<EmbeddedLog["append"]>[0]) {
      if (!done) await setUp();
      done = true;
      return log.append(records);
    },
  };
  await expect(setUp({ api_key: given }, meanwhile)).rejects.toThrow("another setup put another API key at the same time");
  // The refused one stands in the log still, and is not taken for the key.
  expect(await setUp({ api_key: given })).toMatchObject({
    lines: [expect.anything(), expect.stringContaining("in place of an earlier one")],
  });
  expect((await carryOut()).latest("key", "setup")?.value.key_sha256).toBe(sha256(given));
});

test("what others have asked for, and is refused, is no failure of the setup", async () => {
  await appendCommand(log, codec, putKey("setup", 7), "another");
  const asked = setUp({ wait_ms: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const control = await carryOut();
  const { unanswered, key } = await asked;
  expect(unanswered).toBe(0);
  expect(control.latest("key", "setup")?.value.key_sha256).toBe(sha256(key ?? ""));
});
