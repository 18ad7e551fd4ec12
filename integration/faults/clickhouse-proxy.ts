/**
 * Stands between all processes and ClickHouse, reads their statements, and can stop one of them at the very moment of a test: before ClickHouse
 * has it, or after, with the answer kept back. Traps catch once. While ClickHouse is away, connections are refused as they come.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { ownerOf } from "./socket-owner";

export interface CaughtStatement {
  /** Whose statement it is. */
  readonly pid: number;
  /** ClickHouse's answer that was kept back; undefined where it never got the statement. */
  readonly status: number | undefined;
  readonly text: string;
}

interface Trap {
  readonly statement: string;
  readonly keep: "request" | "answer";
  readonly caught: (caught: CaughtStatement) => void;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export class ClickHouseProxy {
  pids: () => readonly number[] = () => [];
  private traps: Trap[] = [];

  private constructor(
    private readonly server: Server,
    private readonly target: string,
    readonly url: string,
  ) {
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.pass(request, response).catch(() => request.socket.destroy()); // ClickHouse is away, or the client
    });
  }

  static async open(target: string): Promise<ClickHouseProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ClickHouseProxy(server, target, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  /** The next statement that begins so is kept from ClickHouse. */
  catchRequest(statement: string): Promise<CaughtStatement> {
    return new Promise((caught) => this.traps.push({ statement, keep: "request", caught }));
  }

  /** ClickHouse carries the next statement out that begins so, and nobody hears of it. */
  catchAnswer(statement: string): Promise<CaughtStatement> {
    return new Promise((caught) => this.traps.push({ statement, keep: "answer", caught }));
  }

  /** Traps that have caught nothing. */
  forget(): void {
    this.traps = [];
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    const statement = new URL(request.url ?? "/", this.target).searchParams.get("query") ?? body.toString();
    const trap = this.traps.find((of) => statement.startsWith(of.statement));
    const pid = trap && ownerOf(request.socket, this.pids());
    if (!trap || pid === undefined) {
      const { status, headers, body: answer } = await this.ask(request, body);
      response.writeHead(status, { ...headers, "content-length": answer.length }).end(answer);
      return;
    }
    this.traps.splice(this.traps.indexOf(trap), 1);
    if (trap.keep === "request") trap.caught({ pid, status: undefined, text: "" });
    else {
      const { status, body: answer } = await this.ask(request, body);
      trap.caught({ pid, status, text: answer.toString() });
    }
  }

  private async ask(of: IncomingMessage, body: Buffer): Promise<Answer> {
    const { "transfer-encoding": _chunked, ...headers } = of.headers;
    const asked = send(new URL(of.url ?? "/", this.target), {
      method: of.method,
      headers: { ...headers, "content-length": body.length },
    });
    asked.end(body);
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    const { "transfer-encoding": _chunks, connection: _connection, "keep-alive": _alive, ...kept } = answer.headers;
    return { status: answer.statusCode ?? 0, headers: kept, body: await bodyOf(answer) };
  }
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
