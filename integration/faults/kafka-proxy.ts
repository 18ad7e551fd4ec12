/**
 * Stands between all processes and a broker, reads their requests one by one, and can stop one of them at the very moment of a test: before
 * the broker has it, or after, with the answer kept back. Traps catch once.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { ownerOf } from "./socket-owner";

/** Kafka's numbers of the requests that tests look for. */
export const apis = { produce: 0, offset_commit: 8, join_group: 11, sync_group: 14 } as const;

export interface KafkaRequest {
  readonly api: number;
  /** The whole request: names stand in it as they are. */
  readonly bytes: Buffer;
  /** Whether it names that group or topic. */
  names(name: string): boolean;
}

export interface Caught {
  /** Whose request it is. */
  readonly pid: number;
}

interface Trap {
  readonly matches: (request: KafkaRequest) => boolean;
  /** What happens to the request: it isn't sent, or it is and no answer comes. */
  readonly keep: "request" | "answer";
  readonly caught: (caught: Caught) => void;
}

export class KafkaProxy {
  /** Of the broker; connections that come before it is set are ended. */
  target_port: number | undefined;
  /** Those among whom the sender of a caught request is looked for. */
  pids: () => readonly number[] = () => [];
  private traps: Trap[] = [];
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {
    server.on("connection", (client) => this.pair(client));
  }

  static async open(): Promise<KafkaProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new KafkaProxy(server, (server.address() as AddressInfo).port);
  }

  /** The next such request is kept from the broker, and whatever follows on its connection. */
  catchRequest(matches: (request: KafkaRequest) => boolean): Promise<Caught> {
    return new Promise((caught) => this.traps.push({ matches, keep: "request", caught }));
  }

  /** The next such request gets through, and no answer comes on its connection any more. */
  catchAnswer(matches: (request: KafkaRequest) => boolean): Promise<Caught> {
    return new Promise((caught) => this.traps.push({ matches, keep: "answer", caught }));
  }

  /** Traps that have caught nothing. */
  forget(): void {
    this.traps = [];
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  private pair(client: Socket): void {
    if (this.target_port === undefined) {
      client.destroy();
      return;
    }
    const broker = connect(this.target_port, "127.0.0.1");
    const kept = { requests: false, answers: false };
    for (const socket of [client, broker]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => undefined); // its close follows
      socket.on("close", () => {
        this.sockets.delete(socket);
        client.destroy();
        broker.destroy();
      });
    }
    let rest: Buffer = Buffer.alloc(0);
    client.on("data", (bytes) => {
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      for (;;) {
        const length = rest.length < 4 ? undefined : 4 + rest.readInt32BE(0);
        if (length === undefined || rest.length < length) return;
        const frame = rest.subarray(0, length);
        rest = rest.subarray(length);
        this.spring(requestOf(frame), client, kept);
        if (!kept.requests) broker.write(frame);
      }
    });
    broker.on("data", (bytes) => {
      if (!kept.answers) client.write(bytes);
    });
  }

  private spring(request: KafkaRequest, client: Socket, kept: { requests: boolean; answers: boolean }): void {
    const trap = this.traps.find(({ matches }) => matches(request));
    if (!trap) return;
    const pid = ownerOf(client, this.pids());
    if (pid === undefined) return; // of another process: a command, an audit
    this.traps.splice(this.traps.indexOf(trap), 1);
    kept.answers = true;
    kept.requests ||= trap.keep === "request";
    trap.caught({ pid });
  }
}

function requestOf(frame: Buffer): KafkaRequest {
  return {
    api: frame.readInt16BE(4),
    bytes: frame,
    names(name) {
      const text = Buffer.alloc(2 + name.length); // a string on the wire: its length, then its characters
      text.writeInt16BE(name.length);
      text.write(name, 2, "latin1");
      return frame.includes(text);
    },
  };
}
