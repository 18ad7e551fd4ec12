import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlView } from "@assay/control/follow";
import { controlDirectory } from "@assay/ingest/agent-directory";
import { allTopics, topics } from "@assay/schemas/topics";
import { type EmbeddedLog, openEmbeddedLog } from "@assay/stream/embedded-log";
import { codec } from "./given-ingest";

const agent = { host_id: "host-1", host_name: "one", credential_sha256: "ab".repeat(32), enrolled_at: 1 };

describe("controlDirectory", () => {
  let directory: string;
  let log: EmbeddedLog;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "assay-ingest-"));
    log = await openEmbeddedLog({ directory });
    await log.ensureTopics(allTopics);
  });
  afterEach(async () => {
    await log.close();
    rmSync(directory, { recursive: true });
  });

  test("asks the coordinator for an enrolment, and then knows the agent's hash", async () => {
    const agents = controlDirectory(log, codec, await ControlView.open(log, codec));
    expect(agents.credentialHash("host-1")).toBeUndefined();
    const [answer] = await Promise.all([agents.enrol(agent), coordinateOnce(log)]);
    expect(answer).toEqual({ result: "accepted", kind: "agent", id: "host-1", version: 1 });
    expect(agents.credentialHash("host-1")).toBe(agent.credential_sha256);
    expect(agents.credentialHash("host-2")).toBeUndefined();
  });
});

/** Carries out the one command that comes, as the coordinator does. */
async function coordinateOnce(log: EmbeddedLog): Promise<void> {
  for (;;) {
    const [record] = await log.read(topics.commands.name, 0, 0, 1);
    if (!record) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    const command = codec.decode(record.value ?? Buffer.alloc(0));
    if (command.name !== "Command") throw new Error(`a ${command.name} among the commands`);
    expect(command.value).toMatchObject({ type: "enrol_agent", by: "ingest" });
    const { command_id, body } = command.value;
    const control = (kind: string, id: string, text: string) => ({
      topic: topics.control.name,
      key: `${id}@1`,
      value: codec.encode("ControlRecord", { kind, id, version: 1, at: 1, effective_from: 1, command_id, body: text }),
    });
    const answer = { result: "accepted", kind: "agent", id: "host-1", version: 1 };
    await log.append([
      control("agent", "host-1", JSON.stringify(JSON.parse(body).agent)),
      control("answer", command_id, JSON.stringify(answer)),
    ]);
    return;
  }
}
