/** Reads a request's body within limits, and decompresses it within limits. */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { discard_bytes_max } from "./settings";

export interface BodyLimits {
  readonly body_bytes_max: number;
  /** The setting of body_bytes_max, for the message. */
  readonly body_setting: string;
  readonly decompressed_bytes_max: number;
  readonly decompressed_setting: string;
}

export type Body =
  | { readonly kind: "read"; readonly bytes: Buffer }
  | {
      readonly kind: "refused";
      readonly reason: "out_of_bounds" | "malformed_body" | "unsupported_encoding";
      readonly detail: string;
      /** What came, as it was sent; null where it wasn't read to its end. */
      readonly bytes: Buffer | null;
    }
  /** The sender went away; nobody reads an answer. */
  | { readonly kind: "gone" };

export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Body> {
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip") {
    const detail = `content-encoding ${JSON.stringify(encoding.slice(0, 40))} is neither gzip nor identity`;
    return { kind: "refused", reason: "unsupported_encoding", detail, bytes: null };
  }
  const raw = await readRaw(request, limits);
  return raw.kind === "read" && encoding === "gzip" ? decompress(raw.bytes, limits) : raw;
}

function readRaw(request: IncomingMessage, limits: BodyLimits): Promise<Body> {
  const claimed = Number(request.headers["content-length"] ?? 0);
  if (claimed > limits.body_bytes_max) return Promise.resolve(tooLarge(`body of ${claimed} bytes`, limits));
  if (request.destroyed) return Promise.resolve({ kind: "gone" });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (body: Body) => {
      request.off("data", onData).off("end", onEnd).off("close", onClose);
      resolve(body);
    };
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      if (length > limits.body_bytes_max) settle(tooLarge(`body of at least ${length} bytes`, limits));
      else chunks.push(chunk);
    };
    const onEnd = () => settle({ kind: "read", bytes: Buffer.concat(chunks, length) });
    const onClose = () => settle({ kind: "gone" });
    request.on("data", onData).on("end", onEnd).on("close", onClose);
    // A request that is cut off emits an error too; close follows and settles it.
    request.on("error", () => undefined);
  });
}

function tooLarge(what: string, limits: BodyLimits): Body {
  const detail = `${what} is above the limit of ${limits.body_bytes_max} bytes (${limits.body_setting})`;
  return { kind: "refused", reason: "out_of_bounds", detail, bytes: null };
}

const unzip: (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer> = promisify(gunzip);

/** In zlib's own threads; it stops at the limit, whatever the body would become. */
async function decompress(bytes: Buffer, limits: BodyLimits): Promise<Body> {
  try {
    return { kind: "read", bytes: await unzip(bytes, { maxOutputLength: limits.decompressed_bytes_max }) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      const detail =
        `body of ${bytes.length} bytes decompresses to more than the limit of ${limits.decompressed_bytes_max} bytes ` +
        `(${limits.decompressed_setting})`;
      return { kind: "refused", reason: "out_of_bounds", detail, bytes };
    }
    return { kind: "refused", reason: "malformed_body", detail: `not gzip: ${(error as Error).message}`, bytes };
  }
}

/**
 * Lets the rest of a body that nobody wants flow away, up to a limit: to close the connection at once would reset it, and the
 * sender, still writing, would often not see the answer.
 */
export function discardBody(request: IncomingMessage): void {
  if (request.complete) return;
  let length = 0;
  request.on("error", () => undefined);
  request.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > discard_bytes_max) request.destroy();
  });
  request.resume();
}
