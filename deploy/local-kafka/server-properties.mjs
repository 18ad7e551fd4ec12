/** server.properties of one broker that is its own controller (KRaft), on loopback. */

/** Its listeners, with what of a client's way to it they offer. The first always stands; it is the broker's own. */
export const listenerKinds = [
  { name: "PLAINTEXT", protocol: "PLAINTEXT", sasl: false, tls: false },
  { name: "SASL", protocol: "SASL_PLAINTEXT", sasl: true, tls: false },
  { name: "TLS", protocol: "SSL", sasl: false, tls: true },
  { name: "SASLTLS", protocol: "SASL_SSL", sasl: true, tls: true },
];

/**
 * `listeners`: of listenerKinds, each with its `port`. `sasl`: { username, password }. `tls`: what makeKeys gave, and client_auth. `settings` overrule all
 * that stands here.
 */
export function serverProperties({ log_dir, listeners, controller_port, sasl, tls, settings }) {
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
    "log.dirs": log_dir,
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
    ...(sasl && saslProperties(listeners, sasl)),
    ...(tls && tlsProperties(tls)),
    ...settings,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}

function saslProperties(listeners, { username, password }) {
  const module = "org.apache.kafka.common.security";
  const properties = { "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" };
  for (const { name } of listeners.filter(({ sasl }) => sasl)) {
    const listener = `listener.name.${name.toLowerCase()}`;
    properties[`${listener}.plain.sasl.jaas.config`] =
      `${module}.plain.PlainLoginModule required user_${username}="${password}";`;
    for (const mechanism of ["scram-sha-256", "scram-sha-512"]) {
      properties[`${listener}.${mechanism}.sasl.jaas.config`] = `${module}.scram.ScramLoginModule required;`;
    }
  }
  return properties;
}

function tlsProperties({ keystore, password, ca_file, client_auth }) {
  return {
    "ssl.keystore.type": "PKCS12",
    "ssl.keystore.location": keystore,
    "ssl.keystore.password": password,
    "ssl.key.password": password,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": ca_file,
    "ssl.client.auth": client_auth,
  };
}
