/** Opening and closing a server's port, with errors that name the setting. */
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The setting that changes the port, for the error. */
  readonly setting: string;
}

/** The port, once it accepts connections. Throws ListenError. */
export function listen(server: Server, address: ListenAddress): Promise<number> {
  keepInHand(server);
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(new ListenError(address, error));
    server.once("error", onError);
    server.listen(address.port, address.host, () => {
      server.off("error", onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: string | undefined;
  constructor(address: ListenAddress, cause: NodeJS.ErrnoException) {
    const reason = reasons[cause.code ?? ""] ?? cause.message;
    super(`can't listen on ${address.host} port ${address.port}: ${reason} (${address.setting})`, { cause });
    this.code = cause.code;
  }
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use",
  EACCES: "this user may not open it",
  EADDRNOTAVAIL: "the address is not one of this machine's",
};

/**
 * Takes no new connections, lets requests in hand finish for up to wait_ms, then cuts what is left. For servers opened by `listen`.
 */
export function closeServer(server: Server, wait_ms: number): Promise<void> {
  return new Promise((resolve) => {
    const cutting = setTimeout(() => server.closeAllConnections(), wait_ms);
    server.close(() => {
      clearTimeout(cutting);
      resolve();
    });
    // Otherwise the connections that these came by would be kept alive, and keep the server open.
    for (const response of inHand.get(server) ?? []) endConnectionAfter(response);
    server.prependListener("request", (_, response) => endConnectionAfter(response));
  });
}

/** Responses that aren't finished. */
const inHand = new WeakMap<Server, Set<ServerResponse>>();

function keepInHand(server: Server): void {
  const responses = new Set<ServerResponse>();
  inHand.set(server, responses);
  server.prependListener("request", (_, response: ServerResponse) => {
    responses.add(response);
    response.once("close", () => responses.delete(response));
  });
}

function endConnectionAfter(response: ServerResponse): void {
  if (response.headersSent) response.once("finish", () => response.socket?.end());
  else response.setHeader("connection", "close");
}
