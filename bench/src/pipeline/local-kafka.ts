/** deploy/local-kafka as a child process: a broker and a registry on loopback, which end with this process. */
import { spawn } from "node:child_process";
import { join } from "node:path";

export interface LocalKafka {
  readonly brokers: string;
  readonly registry_url: string;
  readonly broker_pid: number;
  readonly registry_pid: number;
  /** Resolves when both have ended and their data are gone. */
  stop(): Promise<void>;
}

const script = join(__dirname, "../../../deploy/local-kafka/start.mjs");

/** Resolves when both answer; rejects with what the script said. */
export async function startLocalKafka(args: readonly string[]): Promise<LocalKafka> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-said_chars_max);
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const printed = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())); // all its lines are one write
    void ended.then(() => reject(new Error(`the local Kafka didn't start: ${said.trim()}`)));
  });
  const setting = (name: string) => {
    const value = new RegExp(`^${name}=(.+)$`, "m").exec(printed)?.[1];
    if (value === undefined) throw new Error(`${script} printed no ${name}`);
    return value;
  };
  return {
    brokers: setting("ASSAY_KAFKA_BROKERS"),
    registry_url: setting("ASSAY_SCHEMA_REGISTRY_URL"),
    broker_pid: Number(setting("LOCAL_KAFKA_BROKER_PID")),
    registry_pid: Number(setting("LOCAL_KAFKA_REGISTRY_PID")),
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

const said_chars_max = 8_000;
