#!/usr/bin/env node
/**
 * Starts one Kafka broker and a schema registry on loopback, for developers and tests; README.md here says how.
 *
 * Says where they are on stdout, in lines for a shell, once they answer; everything else goes to stderr. Ends both (the registry first) at SIGINT, SIGTERM
 * or the end of a piped stdin, and when one of them ended by itself. Killed with -9, it takes both along.
 */
import { fstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startBroker } from "./broker.mjs";
import { freePort } from "./free-port.mjs";
import { fetchJars } from "./jars.mjs";
import { checkJava } from "./java.mjs";
import { makeKeys } from "./keys.mjs";
import { parseOptions, usage } from "./options.mjs";
import { startRegistry } from "./registry.mjs";
import { listenerKinds } from "./server-properties.mjs";

const say = (message) => process.stderr.write(`local-kafka: ${message}\n`);

main().then(
  (code) => process.exit(code),
  (error) => {
    say(error.message);
    process.exit(1);
  },
);

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const asked = askedToStop();
  const stopping = new AbortController();
  const { signal } = stopping;
  asked.then(() => stopping.abort());
  await checkJava();
  const data_dir = options.data === undefined ? mkdtempSync(join(tmpdir(), "assay-kafka-")) : resolve(options.data);
  const servers = [];
  try {
    const jars = {}; // one after the other: two Mavens may spoil each other's repository
    if (options.broker) jars.broker = await fetchJars("broker", say, signal);
    if (options.registry) jars.registry = await fetchJars("registry", say, signal);
    if (options.broker) servers.push(brokerOf(options, { jars: jars.broker, data_dir, signal }));
    if (options.registry) servers.push(registryOf(options, { jars: jars.registry, data_dir, signal }));
    const started = await Promise.all(servers);
    process.stdout.write(`${started.flatMap(({ lines }) => lines).join("\n")}\n`);
    for (const { name, version, pid } of started)
      say(`the ${name}${version ? ` (Kafka ${version})` : ""} answers; process ${pid}`);
    say(`their logs are in ${data_dir}`);

    const failed = started.map(async ({ name, ended }) => ({ error: `the ${name} ended: ${await ended}` }));
    const why = await Promise.race([asked, ...failed]);
    if (typeof why !== "string") throw new Error(why.error);
    say(`stopping: ${why}`);
    return 0;
  } catch (error) {
    if (signal.aborted) return 0; // asked to stop before they had started
    stopping.abort(); // the other needn't go on starting
    throw error;
  } finally {
    const settled = await Promise.allSettled(servers);
    for (const { value } of settled.reverse()) await value?.stop();
    if (options.data === undefined) rmSync(data_dir, { recursive: true, force: true });
  }
}

/** The broker, and what to say of it. */
async function brokerOf({ ports, controller_port, sasl, client_auth, heap_mb, settings }, { jars, data_dir, signal }) {
  const tls = client_auth === undefined ? undefined : { ...(await makeKeys(join(data_dir, "keys"))), client_auth };
  const wanted = listenerKinds.filter((kind) => (sasl || !kind.sasl) && (tls || !kind.tls));
  const listeners = [];
  for (const kind of wanted) listeners.push({ ...kind, port: ports[kind.name] || (await freePort()) });
  const broker = await startBroker({
    jars,
    data_dir: join(data_dir, "broker"),
    listeners,
    controller_port: controller_port || (await freePort()),
    sasl,
    tls,
    heap_mb,
    settings,
    signal,
  });
  const prefixes = { PLAINTEXT: "", SASL: "SASL_", TLS: "TLS_", SASLTLS: "SASL_TLS_" };
  const lines = listeners.map(({ name, port }) => `ASSAY_KAFKA_${prefixes[name]}BROKERS=127.0.0.1:${port}`);
  if (sasl) lines.push(`ASSAY_KAFKA_USER=${sasl.username}`, `ASSAY_KAFKA_PASSWORD=${sasl.password}`);
  if (tls)
    lines.push(
      `ASSAY_KAFKA_CA_FILE=${tls.ca_file}`,
      `ASSAY_KAFKA_CERT_FILE=${tls.certificate_file}`,
      `ASSAY_KAFKA_KEY_FILE=${tls.key_file}`,
    );
  lines.push(`LOCAL_KAFKA_BROKER_PID=${broker.pid}`, `LOCAL_KAFKA_BROKER_VERSION=${broker.version}`);
  return { ...broker, lines };
}

async function registryOf({ registry_port }, { jars, data_dir, signal }) {
  const registry = await startRegistry({
    jars,
    data_dir: join(data_dir, "registry"),
    port: registry_port || (await freePort()),
    signal,
  });
  return { ...registry, lines: [`ASSAY_SCHEMA_REGISTRY_URL=${registry.url}`, `LOCAL_KAFKA_REGISTRY_PID=${registry.pid}`] };
}

/** Resolves with why. A stdin that is a terminal or /dev/null tells nothing about who started this. */
function askedToStop() {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve(signal));
    const stdin = fstatSync(0);
    if (!stdin.isFIFO() && !stdin.isSocket()) return;
    process.stdin.on("end", () => resolve("the end of stdin"));
    process.stdin.on("error", () => resolve("the end of stdin"));
    process.stdin.resume();
  });
}
