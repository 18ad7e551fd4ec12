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
import { parseArgs } from "node:util";
import { startBroker } from "./broker.mjs";
import { freePort } from "./free-port.mjs";
import { checkJava } from "./jars.mjs";
import { startRegistry } from "./registry.mjs";

const usage = `node deploy/local-kafka/start.mjs [options]
  --data DIR              where both keep what they have; default: a temporary folder, removed at the end
  --port N                the broker's port; 0, the default, takes a free one
  --registry-port N       the registry's port; likewise
  --controller-port N     the port of the broker's controller; likewise
  --no-registry           only the broker
  --set NAME=VALUE        a setting of the broker (server.properties); may be repeated
`;

const options = {
  data: { type: "string" },
  port: { type: "string", default: "0" },
  "registry-port": { type: "string", default: "0" },
  "controller-port": { type: "string", default: "0" },
  "no-registry": { type: "boolean", default: false },
  set: { type: "string", multiple: true, default: [] },
  help: { type: "boolean", default: false },
};

const say = (message) => process.stderr.write(`local-kafka: ${message}\n`);

main().then(
  (code) => process.exit(code),
  (error) => {
    say(error.message);
    process.exit(1);
  },
);

async function main() {
  const { values } = parseArgs({ options });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  await checkJava();
  const asked = askedToStop();
  const data_dir = values.data === undefined ? mkdtempSync(join(tmpdir(), "assay-kafka-")) : resolve(values.data);
  const port = await portOf(values.port);
  const controller_port = await portOf(values["controller-port"]);
  const settings = Object.fromEntries(values.set.map(settingOf));
  const servers = [];
  const starting = [];
  try {
    starting.push(
      startBroker({
        data_dir: join(data_dir, "broker"),
        listeners: [{ name: "PLAINTEXT", protocol: "PLAINTEXT", port }],
        controller_port,
        settings,
        say,
      }),
    );
    if (!values["no-registry"]) {
      starting.push(startRegistry({ data_dir: join(data_dir, "registry"), port: await portOf(values["registry-port"]), say }));
    }
    for (const start of starting)
      start.then(
        (server) => servers.push(server),
        () => undefined,
      );
    const stopped = await Promise.race([asked, Promise.all(starting)]);
    if (typeof stopped === "string") return 0;
    const [broker, registry] = stopped;
    const lines = [`ASSAY_KAFKA_BROKERS=127.0.0.1:${port}`];
    if (registry) lines.push(`ASSAY_SCHEMA_REGISTRY_URL=${registry.url}`);
    process.stdout.write(`${lines.join("\n")}\n`);
    say(`Kafka ${broker.version} runs as process ${broker.pid}; its log is in ${data_dir}`);

    const why = await Promise.race([asked, ...stopped.map(async ({ name, ended }) => `the ${name} ended: ${await ended}`)]);
    say(`stopping: ${why}`);
    return why.startsWith("the ") ? 1 : 0;
  } finally {
    await Promise.allSettled(starting);
    for (const server of servers.sort((a, b) => (a.name < b.name ? 1 : -1))) await server.stop();
    if (values.data === undefined) rmSync(data_dir, { recursive: true, force: true });
  }
}

function askedToStop() {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve(signal));
    const stdin = fstatSync(0);
    if (stdin.isFIFO() || stdin.isSocket()) {
      process.stdin
        .on("end", () => resolve("the end of stdin"))
        .on("error", () => resolve("the end of stdin"))
        .resume();
    }
  });
}

async function portOf(text) {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error(`"${text}" isn't a port: 0 to 65535`);
  return port === 0 ? freePort() : port;
}

function settingOf(text) {
  const at = text.indexOf("=");
  if (at < 1) throw new Error(`--set ${text}: it takes NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
