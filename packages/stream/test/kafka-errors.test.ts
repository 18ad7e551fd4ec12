import { isTransient, transient } from "@assay/stream/kafka/errors";
import { errorOfCode } from "@assay/stream/kafka/kafkajs";
import { KafkaJSConnectionError } from "kafkajs";

/** As kafkajs makes it; its types leave the message out. */
function refusedLogin(message: string): Error {
  return Object.assign(new Error(message), { name: "KafkaJSSASLAuthenticationError", retriable: false });
}

describe("an error that waiting may mend", () => {
  it.each([
    ["a leader that moved", errorOfCode(6)],
    ["a coordinator that loads", errorOfCode(14)],
    ["too few in-sync replicas", errorOfCode(19)],
    ["an ended connection", new KafkaJSConnectionError("Connection error: connect ECONNREFUSED", { code: "ECONNREFUSED" })],
    [
      "having waited too long for others who connect",
      Object.assign(new Error("Timeout while acquiring lock"), { name: "KafkaJSLockTimeout", retriable: false }),
    ],
    ["what is ours", transient("no leader")],
  ])("is %s", (_name, error) => {
    expect(isTransient(error)).toBe(true);
  });

  it.each([
    ["a fenced member", errorOfCode(22)],
    ["a record that is too large", errorOfCode(10)],
    ["a missing right", errorOfCode(29)],
    ["a code that nobody knows", errorOfCode(9_999)],
    [
      "a certificate of an unknown authority",
      new KafkaJSConnectionError("Connection error: self-signed certificate in certificate chain", {
        code: "SELF_SIGNED_CERT_IN_CHAIN",
      }),
    ],
    ["a wrong password", refusedLogin("SASL PLAIN authentication failed: Authentication failed: Invalid username or password")],
    ["a bug", new TypeError("undefined is not a function")],
  ])("isn't %s", (_name, error) => {
    expect(isTransient(error)).toBe(false);
  });
});
