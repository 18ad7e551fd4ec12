/**
 * A broker, or a registry, that one test has for itself, so that it may take it away: from the jars, on a port and data of its own.
 *
 *   start ──▶ running ──freeze──▶ frozen ──thaw──▶ running ──stop | kill──▶ down ──start──▶ running      close: from any of them
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalKafka, settingOf, startLocalKafka } from "./local-kafka";

export interface PrivateServer {
  /** Of the process that runs now (or ran last). */
  readonly pid: number;
  /** SIGTERM; resolves when it has ended. A broker hands over and flushes first. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: its connections stay, and nothing answers on them. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** Again, on the same port and data; resolves when it answers. */
  start(): Promise<void>;
  /** Ends it, if it still runs, and removes its data. Owed by the test, in afterAll. */
  close(): Promise<void>;
}

export interface PrivateBrokerOptions {
  /** Of server.properties. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A listener with SASL besides the plain one. Letters, digits, dots, dashes. */
  readonly sasl?: { readonly username: string; readonly password: string };
  /** A listener with TLS besides: whether it asks clients for a certificate. With sasl, one more has both. */
  readonly tls?: "none" | "requested" | "required";
  readonly heap_mb?: number;
}

export interface PrivateBroker extends PrivateServer {
  readonly version: string;
  readonly brokers: readonly string[];
  readonly sasl_brokers: readonly string[];
  readonly tls_brokers: readonly string[];
  readonly sasl_tls_brokers: readonly string[];
  /** PEM: the authority that signed the broker's certificate, and a client's certificate and key, signed by the same. Only with options.tls. */
  readonly tls_files: { readonly ca: string; readonly certificate: string; readonly key: string } | undefined;
}

export interface PrivateRegistry extends PrivateServer {
  readonly url: string;
}

/** Takes about five seconds. */
export async function startPrivateBroker(options: PrivateBrokerOptions = {}): Promise<PrivateBroker> {
  const { settings = {}, sasl, tls, heap_mb } = options;
  const args = ["--no-registry", ...Object.entries(settings).flatMap(([name, value]) => ["--set", `${name}=${value}`])];
  if (sasl) args.push("--sasl", `${sasl.username}:${sasl.password}`);
  if (tls) args.push("--tls", tls);
  if (heap_mb !== undefined) args.push("--heap-mb", String(heap_mb));
  const { server, printed } = await startPrivateServer(args, "LOCAL_KAFKA_BROKER_PID", brokerPorts);
  const addresses = (name: string) => printed.settings.get(name)?.split(",") ?? [];
  return Object.assign(server, {
    version: settingOf(printed, "LOCAL_KAFKA_BROKER_VERSION"),
    brokers: addresses("ASSAY_KAFKA_BROKERS"),
    sasl_brokers: addresses("ASSAY_KAFKA_SASL_BROKERS"),
    tls_brokers: addresses("ASSAY_KAFKA_TLS_BROKERS"),
    sasl_tls_brokers: addresses("ASSAY_KAFKA_SASL_TLS_BROKERS"),
    tls_files: tls && {
      ca: settingOf(printed, "ASSAY_KAFKA_CA_FILE"),
      certificate: settingOf(printed, "ASSAY_KAFKA_CERT_FILE"),
      key: settingOf(printed, "ASSAY_KAFKA_KEY_FILE"),
    },
  });
}

/** Takes about ten seconds. */
export async function startPrivateRegistry(): Promise<PrivateRegistry> {
  const { server, printed } = await startPrivateServer(["--no-broker"], "LOCAL_KAFKA_REGISTRY_PID", registryPorts);
  return Object.assign(server, { url: settingOf(printed, "ASSAY_SCHEMA_REGISTRY_URL") });
}

/** Arguments with which it comes back where it was, by the settings that tell where that is. */
const brokerPorts = {
  "--port": "ASSAY_KAFKA_BROKERS",
  "--sasl-port": "ASSAY_KAFKA_SASL_BROKERS",
  "--tls-port": "ASSAY_KAFKA_TLS_BROKERS",
  "--sasl-tls-port": "ASSAY_KAFKA_SASL_TLS_BROKERS",
};
const registryPorts = { "--registry-port": "ASSAY_SCHEMA_REGISTRY_URL" };

async function startPrivateServer(
  args: readonly string[],
  pidSetting: string,
  ports: Readonly<Record<string, string>>,
): Promise<{ readonly server: PrivateServer; readonly printed: LocalKafka }> {
  const data_dir = mkdtempSync(join(tmpdir(), "assay-private-"));
  const first = await startLocalKafka([...args, "--data", data_dir]).catch((error: unknown) => {
    rmSync(data_dir, { recursive: true, force: true });
    throw error;
  });
  let running: LocalKafka | undefined;
  let pid = 0;
  const runs = (kafka: LocalKafka) => {
    running = kafka;
    pid = Number(settingOf(kafka, pidSetting));
    void kafka.ended.then(() => {
      if (running === kafka) running = undefined;
    });
  };
  runs(first);
  const portArguments = Object.entries(ports).flatMap(([argument, setting]) => {
    const port = /:(\d+)/.exec(first.settings.get(setting)?.replace("://", "") ?? "")?.[1];
    return port === undefined ? [] : [argument, port];
  });
  const signal = (name: NodeJS.Signals) => {
    if (!running) throw new Error(`the server isn't running, so it can't get ${name}`);
    process.kill(pid, name);
  };

  const server: PrivateServer = {
    get pid() {
      return pid;
    },
    stop: async () => running?.stop(),
    kill: async () => {
      const { ended } = running ?? {};
      signal("SIGKILL");
      await ended; // the script ends when its server did
    },
    freeze: () => signal("SIGSTOP"),
    thaw: () => signal("SIGCONT"),
    start: async () => {
      if (running) throw new Error("the server is running already");
      runs(await startLocalKafka([...args, ...portArguments, "--data", data_dir]));
    },
    close: async () => {
      await running?.stop();
      rmSync(data_dir, { recursive: true, force: true });
    },
  };
  return { server, printed: first };
}
