/** What goes wrong with brokers, and whether waiting mends it. */

/** Errors of brokers have Kafka's own name for them as type; those of connections have none. */
export interface KafkaError extends Error {
  readonly type?: string;
  readonly retriable?: boolean;
  readonly code?: string | number;
}

/** Whether the same request may do better later: the broker or the connection is at fault, and may recover. */
export function isTransient(error: unknown): boolean {
  const { retriable, code, name } = (error ?? {}) as KafkaError;
  if (typeof code === "string" && wrong_certificate.test(code)) return false;
  return retriable === true || name === waits_too_long;
}

/** kafkajs lets those who need the same broker wait for each other while one connects, and says that they shouldn't try again. */
const waits_too_long = "KafkaJSLockTimeout";
const wrong_certificate = /CERT|^UNABLE_TO_|^ERR_TLS|^ERR_SSL|^EPROTO$/;

export function errorType(error: unknown): string | undefined {
  return (error as KafkaError).type;
}

export function transient(message: string): KafkaError {
  return Object.assign(new Error(message), { retriable: true });
}
