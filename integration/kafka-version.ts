/**
 * What kind of Kafka answers, from its ApiVersions answer (version 3, whose tagged fields tell the cluster's finalized features): a broker doesn't say its
 * version, but metadata.version grows with it.
 */
import { connect } from "node:net";

/** The last metadata.version of each release, ascending. */
const releases = [
  [21, "3.9"],
  [25, "4.0"],
  [27, "4.1"],
  [29, "4.2"],
  [30, "4.3"],
  [33, "4.4"],
] as const;
const kafka4_level_first = 22;
const answer_wait_ms = 10_000;

export interface KafkaVersion {
  readonly metadata_level: number;
  /** "4.1", or what is known of it. */
  readonly text: string;
  readonly is4: boolean;
}

export async function askKafkaVersion(broker: string): Promise<KafkaVersion> {
  const metadata_level = metadataLevel(await askApiVersions(broker));
  const is4 = metadata_level >= kafka4_level_first;
  const release = releases.find(([level]) => metadata_level <= level)?.[1];
  return { metadata_level, is4, text: is4 ? (release ?? "newer than 4.4") : "older than 4.0" };
}

/** The answer, without its size and correlation id. */
function askApiVersions(broker: string): Promise<Buffer> {
  const colon = broker.lastIndexOf(":");
  const name = "assay";
  const text = Buffer.concat([Buffer.of(name.length + 1), Buffer.from(name)]); // a compact string
  const body = Buffer.concat([Buffer.from("0012000300000001ffff00", "hex"), text, text, Buffer.of(0)]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const socket = connect({ host: broker.slice(0, colon), port: Number(broker.slice(colon + 1)) }, () => {
      socket.write(Buffer.concat([size, body]));
    });
    const fail = (why: string) => {
      socket.destroy();
      reject(new Error(`no Kafka answers at ${broker}: ${why}`));
    };
    socket.setTimeout(answer_wait_ms, () => fail(`nothing came in ${answer_wait_ms} ms`));
    socket.once("error", (error) => fail(error.message));
    socket.once("close", () => fail("it closed the connection"));
    socket.on("data", (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) return;
      resolve(answer.subarray(8));
      socket.destroy();
    });
  });
}

/** The finalized metadata.version; 0 when there is none, as before KRaft. */
function metadataLevel(answer: Buffer): number {
  let at = 2; // error code
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = answer.readUInt8(at++);
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const skipTags = () => {
    for (let left = varint(); left > 0; left--) {
      varint();
      const bytes = varint();
      at += bytes;
    }
  };
  for (let left = varint() - 1; left > 0; left--) {
    at += 6; // key, first and last version of a request
    skipTags();
  }
  at += 4; // throttle time
  const finalized_features = 2;
  for (let left = varint(); left > 0; left--) {
    const tag = varint();
    const bytes = varint();
    const end = at + bytes;
    if (tag === finalized_features) {
      for (let features = varint() - 1; features > 0; features--) {
        const length = varint() - 1;
        const name = answer.toString("utf8", at, at + length);
        at += length;
        const level = answer.readInt16BE(at); // then the lowest level, which says nothing here
        at += 4;
        skipTags();
        if (name === "metadata.version") return level;
      }
    }
    at = end;
  }
  return 0;
}
