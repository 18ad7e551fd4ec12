/** deploy/local-kafka/start.mjs as a child process: it ends with this process, however that goes. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

const script = join(__dirname, "../deploy/local-kafka/start.mjs");
const said_chars_max = 8_000;

export interface LocalKafka {
  /** What it printed for a shell: ASSAY_KAFKA_BROKERS and the others. */
  readonly settings: ReadonlyMap<string, string>;
  /** Resolves once the servers have ended, and with them the script. */
  readonly ended: Promise<void>;
  /** Of the script, which is the servers' parent. */
  readonly script_pid: number;
  /** Ends the servers in their order. */
  stop(): Promise<void>;
}

/** Resolves when the servers answer; rejects with what the script said. `hear` gets its messages, line by line. */
export function startLocalKafka(args: readonly string[], hear: (message: string) => void = () => undefined): Promise<LocalKafka> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined); // it ended first
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-said_chars_max);
    hear(chunk.toString());
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return new Promise((resolve, reject) => {
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.endsWith("\n")) resolve(running(child, printed, ended)); // all its lines are one write
    });
    child.once("error", reject);
    child.once("close", () => reject(new Error(said.trim())));
  });
}

function running(child: ChildProcess, printed: string, ended: Promise<void>): LocalKafka {
  if (child.pid === undefined) throw new Error("a script that printed has no process id");
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  return { settings: settingsOf(printed), ended, script_pid: child.pid, stop };
}

/** Of what it printed; what isn't there is a fault. */
export function settingOf(kafka: LocalKafka, name: string): string {
  const value = kafka.settings.get(name);
  if (value === undefined) throw new Error(`deploy/local-kafka/start.mjs printed no ${name}`);
  return value;
}

function settingsOf(printed: string): ReadonlyMap<string, string> {
  return new Map(
    printed
      .trim()
      .split("\n")
      .map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
  );
}
