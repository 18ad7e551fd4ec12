/**
 * Keys and certificates for one broker and one client, both signed by an authority of their own, made by Java's keytool. For tests on loopback only: the password
 * of the keystores is no secret.
 */
import { createPrivateKey } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runJavaTool } from "./java.mjs";

const password = "local-kafka";
const days = "3650";

/** Makes them in `folder`, or takes what is there. Clients need PEM, the broker a keystore. */
export async function makeKeys(folder) {
  const path = (name) => join(folder, name);
  const files = {
    password,
    keystore: path("broker.p12"),
    ca_file: path("ca.pem"),
    certificate_file: path("client.pem"),
    key_file: path("client-key.pem"),
  };
  if (existsSync(files.key_file)) return files; // it is written last
  mkdirSync(folder, { recursive: true });

  const ca = path("ca.p12");
  await genkeypair(ca, "ca", "CN=Assay local Kafka authority", ["-ext", "bc:c"]);
  await Promise.all([
    keytool("-exportcert", ca, "ca", ["-rfc", "-file", files.ca_file]),
    signed(files.keystore, "broker", "CN=localhost", ["-ext", "san=ip:127.0.0.1,dns:localhost"]),
    signed(path("client.p12"), "client", "CN=client", []),
  ]);
  await keytool("-exportcert", path("client.p12"), "client", ["-rfc", "-file", files.certificate_file]);
  writeFileSync(files.key_file, privateKeyPem(readFileSync(path("client.p12"))), { mode: 0o600 });
  return files;

  /** The authority must be in the same keystore to sign, and not be there later, when the broker picks the key that it shows. */
  async function signed(keystore, alias, name, more) {
    copyFileSync(ca, keystore);
    await genkeypair(keystore, alias, name, ["-signer", "ca", ...more]);
    await keytool("-delete", keystore, "ca", []);
  }
}

function genkeypair(keystore, alias, name, more) {
  const key = ["-keyalg", "RSA", "-keysize", "2048", "-validity", days, "-dname", name];
  return keytool("-genkeypair", keystore, alias, [...key, ...more]);
}

function keytool(command, keystore, alias, more) {
  const store = ["-keystore", keystore, "-storetype", "PKCS12", "-storepass", password];
  return runJavaTool("keytool", [command, ...store, "-alias", alias, ...more]);
}

/**
 * keytool exports no private key. In the keystore it stands as an EncryptedPrivateKeyInfo, which Node decrypts, behind the identifier of its kind of
 * bag (pkcs8ShroudedKeyBag) and a tag with a length: [0] { SEQUENCE … }.
 */
function privateKeyPem(keystore) {
  const bag = Buffer.from("060b2a864886f70d010c0a0102", "hex");
  const at = keystore.indexOf(bag);
  if (at < 0) throw new Error("keytool's keystore has no encrypted private key");
  const tag = derElement(keystore.subarray(at + bag.length));
  const key = derElement(tag.content);
  return createPrivateKey({ key: key.whole, format: "der", type: "pkcs8", passphrase: password }).export({
    format: "pem",
    type: "pkcs8",
  });
}

/** The first element of DER: all of it, and what is in it. */
function derElement(der) {
  const first = der.readUInt8(1);
  const length_bytes = first < 0x80 ? 0 : first & 0x7f;
  const length = length_bytes === 0 ? first : der.readUIntBE(2, length_bytes);
  const begin = 2 + length_bytes;
  return { whole: der.subarray(0, begin + length), content: der.subarray(begin, begin + length) };
}
