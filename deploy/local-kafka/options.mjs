/** The command line of start.mjs. */
import { parseArgs } from "node:util";

export const usage = `node deploy/local-kafka/start.mjs [options]
  --data DIR              where both keep what they have; default: a temporary folder, removed at the end
  --port N                the broker's port; 0, the default, takes a free one
  --controller-port N     the port of the broker's controller; likewise
  --registry-port N       the registry's port; likewise
  --no-registry           only the broker
  --no-broker             only the registry
  --sasl USER:PASSWORD    a further listener with SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 (of a new --data, or the one that had it before)
  --sasl-port N           its port; likewise
  --tls CLIENTS           a further listener with TLS; certificates of clients: none, requested or required
  --tls-port N            its port; likewise
  --sasl-tls-port N       --sasl with --tls make a third one, with both; likewise
  --heap-mb N             the broker's heap; default 512
  --set NAME=VALUE        a setting of the broker (server.properties); may be repeated
`;

const port = { type: "string", default: "0" };
const flag = { type: "boolean", default: false };
const definitions = {
  data: { type: "string" },
  port,
  "controller-port": port,
  "registry-port": port,
  "no-registry": flag,
  "no-broker": flag,
  sasl: { type: "string" },
  "sasl-port": port,
  tls: { type: "string" },
  "tls-port": port,
  "sasl-tls-port": port,
  "heap-mb": { type: "string", default: "512" },
  set: { type: "string", multiple: true, default: [] },
  help: flag,
};

export function parseOptions(args) {
  const { values } = parseArgs({ args, options: definitions });
  const { sasl, tls } = values;
  if (tls !== undefined && !["none", "requested", "required"].includes(tls))
    throw new Error(`--tls ${tls}: none, requested or required`);
  return {
    help: values.help,
    data: values.data,
    broker: !values["no-broker"],
    registry: !values["no-registry"],
    registry_port: portOf(values["registry-port"]),
    controller_port: portOf(values["controller-port"]),
    /** By the names of listenerKinds. */
    ports: {
      PLAINTEXT: portOf(values.port),
      SASL: portOf(values["sasl-port"]),
      TLS: portOf(values["tls-port"]),
      SASLTLS: portOf(values["sasl-tls-port"]),
    },
    sasl: sasl === undefined ? undefined : credentialsOf(sasl),
    client_auth: tls,
    heap_mb: heapOf(values["heap-mb"]),
    settings: Object.fromEntries(values.set.map(settingOf)),
  };
}

function portOf(text) {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error(`"${text}" isn't a port: 0 to 65535`);
  return port;
}

function heapOf(text) {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--heap-mb ${text}: it takes a number of megabytes`);
  return Number(text);
}

/** Of letters, digits and a few signs: they go into a JAAS line and a tool's argument as they are. */
function credentialsOf(text) {
  const [, username, password] = /^([\w.-]+):([\w.-]+)$/.exec(text) ?? [];
  if (username === undefined) throw new Error("--sasl takes USER:PASSWORD, both of letters, digits, dot, dash and underscore");
  return { username, password };
}

function settingOf(text) {
  const at = text.indexOf("=");
  if (at < 1) throw new Error(`--set ${text}: it takes NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
