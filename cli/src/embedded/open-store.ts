/** The store of an embedded Assay: its own engine, or the ClickHouse server that the settings name, and then no engine. */
import { join } from "node:path";
import type { Logger } from "@assay/runtime/logger";
import type { Readiness } from "@assay/runtime/service";
import { readSettings } from "@assay/runtime/settings";
import { connectStore } from "@assay/store/client";
import { DiskFullError } from "@assay/store/disk-full";
import { startEngine } from "@assay/store/engine";
import { onKafka } from "../distributed/settings";
import { clickhouseRelations, type StoreLogin, serverLogin, storeOptions } from "../distributed/store-login";
import { clickhouseSettings } from "./settings";

export interface OpenStore {
  readonly login: StoreLogin;
  /** Of the engine; undefined for a server. */
  readonly port: number | undefined;
  ready(): Promise<Readiness>;
  /** While the engine is down because the disk is full: what it found no room for. */
  withoutRoom(): string | undefined;
  /** Rejects when the engine couldn't be kept running; never resolves before stop. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** services: the data directory's. A store goes with its log, so what is of Kafka has an engine's directory of its own. */
export async function openStore(
  services: string,
  env: Readonly<Record<string, string | undefined>>,
  logger: Logger,
): Promise<OpenStore> {
  const read = readSettings(clickhouseSettings, env, clickhouseRelations);
  if (!read.ok) throw new Error(read.problems.join("; "));
  const login = serverLogin(read.settings);
  if (login) return server(login);
  const directory = join(services, onKafka(env) ? "clickhouse-of-kafka" : "clickhouse");
  const engine = await startEngine({ directory, logger }).catch((error: unknown) => {
    if (error instanceof DiskFullError) throw error;
    // It may have been killed while it started; what is wrong for good is wrong again.
    logger.warn({ error }, "the engine did not start, trying once more");
    return startEngine({ directory, logger });
  });
  return {
    login: { url: engine.url, username: engine.username, password: engine.password },
    port: Number(new URL(engine.url).port),
    ready: async () => {
      const { state, last_error } = engine.status();
      return state === "ready"
        ? { ready: true }
        : { ready: false, reason: `the engine is ${state}${last_error ? `: ${last_error}` : ""}` };
    },
    withoutRoom: () => {
      const { disk_full, last_error } = engine.status();
      return disk_full ? last_error : undefined;
    },
    ended: engine.ended,
    stop: () => engine.stop(),
  };
}

const first_answer_wait_ms = 15_000;

async function server(login: StoreLogin): Promise<OpenStore> {
  const store = connectStore({ ...storeOptions(login), retry_wait_ms: first_answer_wait_ms });
  try {
    await store.query("SELECT 1");
  } catch (error) {
    await store.close();
    throw new Error(`the ClickHouse server at ${login.url} can't be used: ${(error as Error).message} (ASSAY_CLICKHOUSE_URL)`);
  }
  return {
    login,
    port: undefined,
    ready: async () => ((await store.ping()) ? { ready: true } : { ready: false, reason: `${login.url} does not answer` }),
    withoutRoom: () => undefined,
    ended: new Promise(() => undefined),
    stop: () => store.close(),
  };
}
