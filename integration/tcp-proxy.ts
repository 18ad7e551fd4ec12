/** Stands between a client and a server, and can keep the server's answers to itself or cut everybody off. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class TcpProxy {
  /** Of the server; connections that come before it is set are ended. */
  target_port: number | undefined;
  private holding = false;
  private readonly pairs = new Set<readonly [client: Socket, server: Socket]>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {
    server.on("connection", (client) => this.pair(client));
  }

  static async open(): Promise<TcpProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpProxy(server, (server.address() as AddressInfo).port);
  }

  /** From now on requests get through and answers don't. */
  holdAnswers(): void {
    this.holding = true;
  }

  passAnswers(): void {
    this.holding = false;
  }

  /** Ends all connections, with what they hold. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
    this.pairs.clear();
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }

  private pair(client: Socket): void {
    if (this.target_port === undefined) {
      client.destroy();
      return;
    }
    const server = connect(this.target_port, "127.0.0.1");
    const pair = [client, server] as const;
    this.pairs.add(pair);
    const end = () => {
      for (const socket of pair) socket.destroy();
      this.pairs.delete(pair);
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    client.on("data", (bytes) => server.write(bytes));
    server.on("data", (bytes) => {
      if (!this.holding) client.write(bytes);
    });
  }
}
