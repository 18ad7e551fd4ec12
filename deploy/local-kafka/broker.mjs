/** One Kafka broker, its own controller (KRaft), on loopback. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { javaTool, runJavaTool } from "./java.mjs";
import { startServerProcess } from "./server-process.mjs";
import { serverProperties } from "./server-properties.mjs";

const cluster_id = "assayLocalKafkaCluster"; // 22 characters of base64: a cluster id's form

/** Starts it on `data_dir`, formatted when that is new, and resolves when clients are answered. The other arguments are serverProperties'. */
export async function startBroker({ jars, data_dir, heap_mb, signal, ...server }) {
  mkdirSync(data_dir, { recursive: true });
  const log_dir = join(data_dir, "log");
  const log4j = join(data_dir, "log4j2.properties");
  const properties = join(data_dir, "server.properties");
  writeFileSync(log4j, log4jProperties);
  writeFileSync(properties, serverProperties({ log_dir, ...server }), { mode: 0o600 });
  const java = ["-XX:+UseSerialGC", `-Xmx${heap_mb}m`, `-Dlog4j2.configurationFile=${log4j}`, "-cp", `${jars}/*`];

  if (!existsSync(join(log_dir, "meta.properties"))) {
    const tool = [
      "-XX:TieredStopAtLevel=1",
      "kafka.tools.StorageTool",
      "format",
      "--cluster-id",
      cluster_id,
      "--config",
      properties,
    ];
    await runJavaTool("java", [...java, ...tool, ...scramArguments(server.sasl)], signal);
  }
  const broker = startServerProcess({
    name: "broker",
    command: [javaTool("java"), ...java, "kafka.Kafka", properties],
    log_file: join(data_dir, "broker.log"),
  });
  try {
    await broker.waitUntil(() => answersMetadata(server.listeners[0].port), signal);
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return { ...broker, version: versionOf(jars) };
}

/** SCRAM's credentials are in the cluster's metadata, so they are given when it is made. */
function scramArguments(sasl) {
  if (sasl === undefined) return [];
  const { username, password } = sasl;
  return ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
    "--add-scram",
    `${mechanism}=[name=${username},password=${password}]`,
  ]);
}

function versionOf(jars) {
  for (const file of readdirSync(jars)) {
    const version = /^kafka-server-(\d.*)\.jar$/.exec(file)?.[1];
    if (version !== undefined) return version;
  }
  throw new Error(`${jars} has no kafka-server-*.jar: remove that folder, and it is fetched again`);
}

const log4jProperties = `status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
logger.group.name=org.apache.kafka.coordinator.group
logger.group.level=info
`;

const answer_wait_ms = 2_000;
/** Metadata, version 0, of no topics. */
const metadataRequest = Buffer.from("0000000e0003000000000001ffff00000000", "hex");

/** Asks as a client does; true when a broker is in the answer. A port that only accepts isn't enough. */
function answersMetadata(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(metadataRequest));
    let answer = Buffer.alloc(0);
    const over = (answered) => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(answer_wait_ms, () => over(false));
    socket.once("error", () => over(false));
    socket.once("close", () => over(false));
    socket.on("data", (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length >= 12) over(answer.readInt32BE(8) > 0); // size, correlation id, number of brokers
    });
  });
}
