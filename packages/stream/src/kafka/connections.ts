/** Connections of kafkajs, with their faults mended: kafkajs.ts hands out no others. */
import type { Socket } from "node:net";
import { transient } from "./errors";

/** A broker didn't answer a request in time. */
export type OnSilent = (host: string, port: number) => void;

export interface Connection {
  readonly authenticatedAt: unknown;
  readonly socket?: Socket;
  /** Of an answer of which the rest is still to come. */
  chunks: Buffer[];
  bytesBuffered: number;
  bytesNeeded: number;
  /** Of a login that waits for its answer. */
  authHandlers: unknown;
  isConnected(): boolean;
  isAuthenticated(): boolean;
  connect(): Promise<unknown>;
  disconnect(): Promise<unknown>;
  rejectRequests(error: Error): void;
}

export interface ConnectionPool {
  readonly host: string;
  readonly port: number;
  readonly pool: readonly Connection[];
  getConnection(index?: number): Promise<unknown>;
  send<T>(request: object): Promise<T>;
}

/**
 * Four faults. A login that is about to end is renewed on the connection while other answers are still to come on it, which are then taken
 * for those of the login: instead the connection is opened anew. Requests that meet an ended connection at the same time each open one, and
 * leave all but the last behind. What an ended connection has left (half an answer, a socket that may still speak) goes into the next one.
 * A connection on which a request was given up stays in use, though it may be dead without having ended.
 */
export function mendConnections(connections: ConnectionPool, onSilent: OnSilent): ConnectionPool {
  const opening = new Map<number, Promise<unknown>>();
  connections.getConnection = async (index = 0) => {
    const connection = connections.pool[index];
    if (!connection) throw new Error(`connection ${index} of ${connections.pool.length}`);
    let open = opening.get(index);
    if (!open && (!connection.isConnected() || isSessionOver(connection))) {
      open = openAnew(connection).finally(() => opening.delete(index));
      opening.set(index, open);
    }
    await open;
    return connection;
  };
  const send = connections.send.bind(connections);
  connections.send = <T>(request: object) => tellingSilence(connections, onSilent, () => send<T>(request));
  return connections;
}

export async function tellingSilence<T>(
  { host, port }: Pick<ConnectionPool, "host" | "port">,
  onSilent: OnSilent,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as Error).name === "KafkaJSRequestTimeoutError") onSilent(host, port);
    throw error;
  }
}

/** A broker may let a login hold for a while only. */
function isSessionOver(connection: Connection): boolean {
  return connection.authenticatedAt !== null && !connection.isAuthenticated();
}

async function openAnew(connection: Connection): Promise<void> {
  const { socket } = connection;
  if (socket) {
    for (const event of ["data", "end", "error", "timeout"]) socket.removeAllListeners(event);
    socket.on("error", () => undefined); // of a connection that nobody uses any more
    socket.destroy();
  }
  const over = transient("the connection was made anew");
  connection.rejectRequests(over);
  if (connection.isConnected()) {
    await connection.disconnect();
    connection.rejectRequests(over); // made while it disconnected
  }
  connection.chunks = [];
  connection.bytesBuffered = 0;
  connection.bytesNeeded = length_bytes;
  connection.authHandlers = null;
  await connection.connect();
}

/** Each answer begins with its length. */
const length_bytes = 4;
