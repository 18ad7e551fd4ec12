/** A broker of one's own on loopback, of which a test writes the answers: as much of Kafka's protocol as a client needs to get going. */
import { createServer, type Server, type Socket } from "node:net";
import { WireReader, WireWriter } from "@assay/stream/kafka/wire";

export interface AskedRequest {
  readonly api: number;
  readonly version: number;
  readonly correlation: number;
  /** Counted from 1, in order of arrival. */
  readonly connection: number;
  readonly socket: Socket;
}

export const api = { fetch: 1, metadata: 3, sasl_handshake: 17, api_versions: 18, sasl_authenticate: 36 } as const;

export class FakeBroker {
  readonly requests: AskedRequest[] = [];
  connections = 0;
  /** Of one partition each. */
  topics: readonly string[] = [];
  /** Of a login; 0: for good. */
  login_ms = 0;
  /** Called before a request is answered; true: the test answers itself, or not at all. */
  instead: (request: AskedRequest) => boolean = () => false;
  /** Called when the client has ended its side. */
  onEnd: (socket: Socket) => void = (socket) => socket.end();

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => this.serve(socket, ++this.connections));
  }

  static async open(): Promise<FakeBroker> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeBroker(server);
  }

  get port(): number {
    const address = this.server.address();
    if (address === null || typeof address === "string") throw new Error("the fake broker doesn't listen");
    return address.port;
  }

  count(wanted: number): number {
    return this.requests.filter((request) => request.api === wanted).length;
  }

  answer({ socket, correlation }: AskedRequest, body: Buffer): void {
    if (!socket.writable) return;
    socket.write(
      new WireWriter()
        .int32(body.length + 4)
        .int32(correlation)
        .raw(body)
        .finish(),
    );
  }

  close(): Promise<void> {
    for (const { socket } of this.requests) socket.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private serve(socket: Socket, connection: number): void {
    let received = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.on("end", () => this.onEnd(socket));
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
        const reader = new WireReader(received, 4);
        const request = { api: reader.int16(), version: reader.int16(), correlation: reader.int32(), connection, socket };
        received = received.subarray(4 + received.readInt32BE(0));
        this.requests.push(request);
        if (!this.instead(request)) this.answer(request, this.usualAnswer(request));
      }
    });
  }

  private usualAnswer({ api: asked, version }: AskedRequest): Buffer {
    const writer = new WireWriter();
    switch (asked) {
      case api.api_versions: {
        const known: readonly (readonly [number, number])[] = [
          [api.fetch, 11],
          [api.metadata, 1],
          [api.sasl_handshake, 1],
          [api.api_versions, 0],
          [api.sasl_authenticate, 1],
        ];
        writer.int16(0).array(known, ([key, newest]) => writer.int16(key).int16(0).int16(newest));
        return (version > 0 ? writer.int32(0) : writer).finish();
      }
      case api.metadata:
        return writer
          .array([1], (id) => writer.int32(id).string("127.0.0.1").int32(this.port).string(null))
          .int32(1) // controller
          .array(this.topics, (topic) => {
            writer
              .int16(0)
              .string(topic)
              .raw(Buffer.from([0])); // no error, not internal
            writer.array([0], (partition) => {
              writer.int16(0).int32(partition).int32(1); // no error, its leader
              writer.array([1], (replica) => writer.int32(replica)).array([1], (in_sync) => writer.int32(in_sync));
            });
          })
          .finish();
      case api.sasl_handshake:
        return writer
          .int16(0)
          .array(["PLAIN"], (name) => writer.string(name))
          .finish();
      case api.sasl_authenticate:
        return writer.int16(0).string(null).int32(0).int32(0).int32(this.login_ms).finish();
      case api.fetch:
        return writer.int32(0).int16(0).int32(0).int32(0).finish(); // throttle, error, session, topics
      default:
        throw new Error(`the fake broker doesn't know request ${asked}`);
    }
  }
}
