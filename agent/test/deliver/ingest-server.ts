/** A small server that speaks ingest's side: it answers as the test says and keeps what it was given. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { Codec, type Decoded, folderIds } from "@assay/schemas/codec";
import { type Enrolment, enrolmentProof, isEnrolmentProof } from "@assay/schemas/enrolment";

export interface Request {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly decoded: Decoded | undefined;
  readonly at: number;
}

export interface Reply {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** No answer at all. */
  readonly hang?: boolean;
}

export class IngestServer {
  /** Those of enrolments are apart. */
  readonly requests: Request[] = [];
  readonly enrolments: Request[] = [];
  answer: (request: Request) => Reply = () => ({ status: 200, body: "{}" });
  answerEnrolment: (request: Request) => Reply = (request) => this.enrol(request);
  /** SHA-256 of the credentials that it took. */
  readonly taken: string[] = [];
  private readonly codec = new Codec(folderIds());
  private server: Server | undefined;
  private port = 0;

  constructor(private readonly secret: string) {}

  /** As ingest does. */
  private enrol({ path, body }: Request): Reply {
    if (path === "/v1/enrol/challenge") return { status: 200, body: JSON.stringify({ challenge: "a challenge" }) };
    const { proof, ...enrolment } = JSON.parse(body.toString()) as Enrolment & { proof: string };
    if (enrolment.challenge !== "a challenge" || !isEnrolmentProof(this.secret, "agent", enrolment, proof))
      return { status: 401 };
    this.taken.push(enrolment.credential_sha256);
    return { status: 201, body: JSON.stringify({ proof: enrolmentProof(this.secret, "ingest", enrolment) }) };
  }

  /** On the same port as before where it has been stopped. */
  async start(): Promise<void> {
    this.server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("error", () => undefined); // the client gave up
      request.on("end", () => {
        const sent = Buffer.concat(parts);
        const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
        const avro = request.headers["content-type"] === "application/vnd.assay.avro";
        const got: Request = {
          path: request.url ?? "",
          headers: request.headers,
          body,
          decoded: avro ? this.codec.decode(body) : undefined,
          at: performance.now(),
        };
        const enrols = got.path.startsWith("/v1/enrol");
        (enrols ? this.enrolments : this.requests).push(got);
        const { status, body: text = "", headers = {}, hang } = enrols ? this.answerEnrolment(got) : this.answer(got);
        if (hang) return;
        response.writeHead(status, headers);
        response.end(text);
      });
    });
    await new Promise<void>((resolve) => this.server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (!server) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  batches() {
    return this.requests.flatMap(({ decoded }) => (decoded?.name === "TelemetryBatch" ? [decoded.value] : []));
  }

  sections() {
    return this.requests.flatMap(({ decoded }) => (decoded?.name === "InventorySection" ? [decoded.value] : []));
  }
}

export async function until(what: () => boolean, wait_ms = 5_000): Promise<void> {
  const end = performance.now() + wait_ms;
  while (!what()) {
    if (performance.now() > end) throw new Error(`not within ${wait_ms} ms: ${what.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
