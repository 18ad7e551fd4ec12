/** Tries a request again while the server can't be reached or is overloaded, with growing pauses and a limit. */
import { setTimeout as sleep } from "node:timers/promises";
import { ClickHouseError } from "@clickhouse/client";
import { explainTls } from "./tls";

/** ClickHouse's disk is full: the request may be made again once there is room. */
export class StoreFullError extends Error {
  override readonly name = "StoreFullError";
}

export interface Attempts {
  readonly wait_ms: number;
  /** For messages. */
  readonly server: string;
}

export interface RetryRule extends Attempts {
  /** "unless_executed": only where the server can't have seen the request or refused to begin with it. */
  readonly repeat: "always" | "unless_executed";
}

export async function retry<Value>(rule: RetryRule, request: () => Promise<Value>): Promise<Value> {
  const until = Date.now() + rule.wait_ms;
  let pause_ms = pause_min_ms;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await request();
    } catch (error) {
      if (!repeatable(error, rule.repeat)) throw explain(error, rule.server);
      if (Date.now() + pause_ms > until) {
        const reason = error instanceof Error ? error.message : String(error);
        const Failure = error instanceof ClickHouseError && no_room.includes(error.type ?? "") ? StoreFullError : Error;
        throw new Failure(
          `ClickHouse at ${rule.server} did not take the request in ${attempt} attempts within ${rule.wait_ms} ms: ${reason}`,
          {
            cause: error,
          },
        );
      }
    }
    await sleep(pause_ms);
    pause_ms = Math.min(pause_ms * 2, pause_max_ms);
  }
}

const pause_min_ms = 50;
const pause_max_ms = 5_000;

function repeatable(error: unknown, repeat: RetryRule["repeat"]): boolean {
  if (error instanceof ClickHouseError) {
    const names = repeat === "always" ? [...not_begun, ...passing] : not_begun;
    return names.includes(error.type ?? "");
  }
  const { code, message } = facts(error);
  if (not_connected.includes(code)) return true;
  return repeat === "always" && (broken.includes(code) || broken_messages.test(message));
}

/** The server's own words are clear; those of a connection that TLS ended are not. */
function explain(error: unknown, server: string): unknown {
  if (error instanceof ClickHouseError) return error;
  const { code, message } = facts(error);
  const explanation = explainTls(code);
  if (explanation === undefined) return error;
  return new Error(`ClickHouse at ${server}: ${message}: ${explanation}`, { cause: error });
}

function facts(error: unknown): { readonly code: string; readonly message: string } {
  if (typeof error !== "object" || error === null) return { code: "", message: String(error) };
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return { code: String(code ?? ""), message: String(message ?? "") };
}

const not_connected = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"];
const broken = ["ECONNRESET", "EPIPE", "ETIMEDOUT", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE", "HPE_INVALID_EOF_STATE"];
/** The client's own errors, and the answers of a proxy in front of a server that is down. */
const broken_messages = /timeout|socket hang up|aborted|premature|bad gateway|service unavailable|gateway time-?out/i;

/** ClickHouse's names of errors that pass by themselves, the request not begun. */
const not_begun = ["TOO_MANY_SIMULTANEOUS_QUERIES", "SERVER_OVERLOADED"];
const no_room = ["NOT_ENOUGH_SPACE", "CANNOT_WRITE_TO_FILE_DESCRIPTOR"];
/** … and those after which part of the request may stand. */
const passing = [
  ...no_room,
  "SOCKET_TIMEOUT",
  "NETWORK_ERROR",
  "MEMORY_LIMIT_EXCEEDED",
  "TABLE_IS_READ_ONLY",
  "TOO_MANY_PARTS",
  "UNKNOWN_STATUS_OF_INSERT",
  "KEEPER_EXCEPTION",
  "NO_ZOOKEEPER",
  "TOO_FEW_LIVE_REPLICAS",
  "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
  "ALL_CONNECTION_TRIES_FAILED",
  "ABORTED",
];
