/** HTTP to ingest, or to a schema registry: one request at a time, kept alive, bounded in time and in what is read of the answer. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { OwnConnections } from "../collect/excluded";

export interface Answer {
  readonly status: number;
  /** The first of it. */
  readonly body: string;
  /** From Retry-After in seconds. */
  readonly retry_after_ms: number | undefined;
}

export interface HttpClientOptions {
  readonly url: string;
  readonly request_wait_ms: number;
  /** PEM of the authority that the server's certificate is from; the system's where undefined. */
  readonly ca: string | undefined;
  readonly own: OwnConnections;
  /** What is worth it goes compressed; default true. */
  readonly compress?: boolean;
  /** What is read of an answer; default 4,096. */
  readonly answer_bytes_max?: number;
}

export class HttpClient {
  private readonly agent: HttpAgent;
  private readonly request: typeof httpRequest;

  constructor(private readonly options: HttpClientOptions) {
    const secure = options.url.startsWith("https:");
    const keep = { keepAlive: true, maxSockets: 1, ...(options.ca === undefined ? {} : { ca: options.ca }) };
    this.agent = secure ? new HttpsAgent(keep) : new HttpAgent(keep);
    this.request = secure ? httpsRequest : httpRequest;
  }

  /** Rejects where no whole answer comes in time. */
  async post(path: string, headers: Readonly<Record<string, string>>, body: Buffer, signal?: AbortSignal): Promise<Answer> {
    const { compress = true } = this.options;
    const packed = compress && body.length > gzip_from_bytes ? await zip(body) : undefined;
    const sent = packed ?? body;
    const options: RequestOptions = {
      method: "POST",
      agent: this.agent,
      headers: {
        ...headers,
        "content-length": sent.length,
        ...(packed ? { "content-encoding": "gzip" } : {}),
      },
    };
    return this.exchange(path, options, sent, signal);
  }

  private exchange(path: string, options: RequestOptions, body: Buffer, signal: AbortSignal | undefined): Promise<Answer> {
    const { request_wait_ms, url, own, answer_bytes_max = answer_bytes_max_default } = this.options;
    return new Promise((resolve, reject) => {
      const request = this.request(url + path, options, (response) =>
        read(response, answer_bytes_max).then(settle(resolve), settle(reject)),
      );
      const late = () => request.destroy(new Error(`no answer within ${request_wait_ms} ms (ASSAY_AGENT_REQUEST_WAIT_MS)`));
      const timer = setTimeout(late, request_wait_ms);
      const abort = () => request.destroy(new Error("the agent stops"));
      function settle<T>(end: (value: T) => void): (value: T) => void {
        return (value) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", abort);
          end(value);
        };
      }
      request.on("error", settle(reject));
      request.on("socket", (socket) => {
        const note = () => own.openedBy(socket);
        if (socket.connecting) socket.once("connect", note);
        else note();
      });
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
      request.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

const zip = promisify<Buffer, Buffer>(gzip);

async function read(response: IncomingMessage, answer_bytes_max: number): Promise<Answer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    if (length < answer_bytes_max) parts.push(part);
    length += part.length;
  }
  const retry = Number(response.headers["retry-after"]);
  return {
    status: response.statusCode ?? 0,
    body: Buffer.concat(parts).toString("utf8", 0, answer_bytes_max),
    retry_after_ms: Number.isFinite(retry) && retry >= 0 ? retry * 1000 : undefined,
  };
}

const gzip_from_bytes = 1_024;
const answer_bytes_max_default = 4_096;
