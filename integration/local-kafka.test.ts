import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./is-alive";
import { settingOf, startLocalKafka } from "./local-kafka";

let data_dir: string;
beforeEach(() => {
  data_dir = mkdtempSync(join(tmpdir(), "assay-local-kafka-"));
});
afterEach(() => rmSync(data_dir, { recursive: true, force: true }));

test("killed with -9, the script takes its broker along, also a frozen one", async () => {
  for (const frozen of [false, true]) {
    const kafka = await startLocalKafka(["--no-registry", "--data", data_dir]);
    const pid = Number(settingOf(kafka, "LOCAL_KAFKA_BROKER_PID"));
    if (frozen) process.kill(pid, "SIGSTOP");
    process.kill(kafka.script_pid, "SIGKILL");
    await kafka.ended;
    while (isAlive(pid)) await sleep(20); // jest's timeout is the limit
  }
});

test("says what is wrong with its arguments, and what it can't start", async () => {
  await expect(startLocalKafka(["--port", "http"])).rejects.toThrow('"http" isn\'t a port');
  await expect(startLocalKafka(["--no-registry", "--set", "log.retention.ms=never"])).rejects.toThrow(
    /the broker ended|log\.retention\.ms/,
  );
});
