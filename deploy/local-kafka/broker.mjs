/** One Kafka broker, its own controller (KRaft), on loopback. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fetchJars, run } from "./jars.mjs";
import { startServerProcess } from "./server-process.mjs";

const cluster_id = "assayLocalKafkaCluster"; // 22 characters of base64: a cluster id's form
const heap_mb = 512;

/**
 * Starts it on `data_dir` (formatted when it is new) and resolves when clients are answered.
 * `listeners`: [{ name, protocol, port }]; the first is the broker's own. `settings` go into server.properties last.
 */
export async function startBroker({ data_dir, listeners, controller_port, sasl, tls, settings = {}, say }) {
  const jars = await fetchJars("broker", say);
  const java = ["java", "-XX:+UseSerialGC", `-Xmx${heap_mb}m`, "-cp", `${jars}/*`];
  mkdirSync(data_dir, { recursive: true });
  const log4j = join(data_dir, "log4j2.properties");
  writeFileSync(log4j, log4jProperties);
  const properties = join(data_dir, "server.properties");
  writeFileSync(properties, serverProperties({ data_dir, listeners, controller_port, sasl, tls, settings }));

  if (!existsSync(join(data_dir, "log", "meta.properties"))) {
    const credentials = sasl
      ? ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((kind) => [
          "--add-scram",
          `${kind}=[name=${sasl.username},password=${sasl.password}]`,
        ])
      : [];
    const tool = ["-XX:TieredStopAtLevel=1", `-Dlog4j2.configurationFile=${log4j}`, "kafka.tools.StorageTool"];
    await run(
      [...java, ...tool, "format", "--cluster-id", cluster_id, "--config", properties, ...credentials],
      "Java is missing",
    );
  }

  const broker = startServerProcess({
    name: "broker",
    command: [...java, `-Dlog4j2.configurationFile=${log4j}`, "kafka.Kafka", properties],
    log_file: join(data_dir, "broker.log"),
  });
  try {
    await broker.waitUntil(() => answersMetadata(listeners[0].port));
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return { ...broker, version: brokerVersion(jars) };
}

function brokerVersion(jars) {
  return readdirSync(jars)
    .map((file) => /^kafka-server-(\d.*)\.jar$/.exec(file)?.[1])
    .find((version) => version !== undefined);
}

function serverProperties({ data_dir, listeners, controller_port, sasl, tls, settings }) {
  const all = [...listeners, { name: "CONTROLLER", protocol: "PLAINTEXT", port: controller_port }];
  const addresses = (of) => of.map(({ name, port }) => `${name}://127.0.0.1:${port}`).join(",");
  const properties = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${controller_port}`,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": listeners[0].name,
    listeners: addresses(all),
    "advertised.listeners": addresses(listeners),
    "listener.security.protocol.map": all.map(({ name, protocol }) => `${name}:${protocol}`).join(","),
    "log.dirs": join(data_dir, "log"),
    "auto.create.topics.enable": false,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 16_777_216,
    ...(sasl && {
      "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
      ...Object.fromEntries(
        listeners
          .filter(({ protocol }) => protocol.startsWith("SASL_"))
          .flatMap(({ name }) => loginModules(name.toLowerCase(), sasl)),
      ),
    }),
    ...(tls && {
      "ssl.keystore.type": "PKCS12",
      "ssl.keystore.location": tls.keystore,
      "ssl.keystore.password": tls.password,
      "ssl.key.password": tls.password,
      "ssl.truststore.type": "PKCS12",
      "ssl.truststore.location": tls.truststore,
      "ssl.truststore.password": tls.password,
      "ssl.client.auth": tls.client_auth,
    }),
    ...settings,
  };
  return `${Object.entries(properties)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n")}\n`;
}

function loginModules(listener, { username, password }) {
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`;
  return [
    [`listener.name.${listener}.plain.sasl.jaas.config`, plain],
    [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, scram],
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, scram],
  ];
}

const log4jProperties = `status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.start.name=kafka.server.KafkaRaftServer
logger.start.level=info
logger.coordinator.name=org.apache.kafka.coordinator.group
logger.coordinator.level=info
`;

/** Asks as a client does (Metadata, version 0, no topics); true when a broker is in the answer. A port that only accepts isn't enough. */
function answersMetadata(port) {
  const answer_wait_ms = 2_000;
  const request = Buffer.from([0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
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
