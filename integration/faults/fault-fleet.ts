/** A fleet whose servers a test may take away: broker and ClickHouse of its own, each behind a proxy, and two replicas of what has state. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RunningFleet } from "@assay/cli/scenarios/running-fleet";
import { connectStore, type Store } from "@assay/store/client";
import { type Engine, startEngine } from "@assay/store/engine";
import { type PrivateBroker, startPrivateBroker } from "../private-broker";
import { testRegistryUrl } from "../test-servers";
import { ClickHouseProxy } from "./clickhouse-proxy";
import { KafkaProxy } from "./kafka-proxy";

/** Short, so that tests are. */
export const window_ms = 2_000;
export const lateness_ms = 500;
/** Of a beforeAll that starts one. */
export const start_ms_max = 180_000;
export const ready_wait_ms = 90_000;
/** Of an afterEach that recovers one, and of an afterAll that closes one. */
export const recover_ms_max = 120_000;
export const partitions = 4;
const replicas = { correlator: 2, evaluator: 2 };
const settings = {
  ASSAY_KAFKA_PARTITIONS: String(partitions),
  ASSAY_KAFKA_SESSION_MS: "6000",
  ASSAY_WINDOW_MS: String(window_ms),
  ASSAY_LATENESS_MS: String(lateness_ms),
  ASSAY_CHECKPOINT_WAIT_MS: "1000",
  ASSAY_EVALUATOR_FLUSH_WAIT_MS: "500",
  ASSAY_EVALUATOR_CHECKPOINT_WAIT_MS: "1000",
};
/** For records of hours from now. */
const future_ms_max = 86_400_000;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

export class FaultFleet {
  /** Aborted when it closes: for hosts that deliver to it. */
  readonly closing = new AbortController();
  private readonly away = { broker: false, clickhouse: false };

  private constructor(
    readonly broker: PrivateBroker,
    readonly kafka: KafkaProxy,
    readonly clickhouse: ClickHouseProxy,
    private engine: Engine,
    private readonly directory: string,
    /** To look into ClickHouse, past the proxy. */
    readonly store: Store,
    readonly services: RunningFleet,
  ) {}

  /** Owed a close. */
  static async start(): Promise<FaultFleet> {
    const ending: (() => unknown)[] = [];
    try {
      const kafka = await KafkaProxy.open();
      ending.push(() => kafka.close());
      const broker = await startPrivateBroker({
        settings: {
          "advertised.listeners": `PLAINTEXT://127.0.0.1:${kafka.port}`,
          "log.message.timestamp.after.max.ms": String(future_ms_max),
        },
      });
      ending.push(() => broker.close());
      kafka.target_port = Number(broker.brokers[0]?.split(":")[1]);
      const directory = mkdtempSync(join(tmpdir(), "assay-faults-"));
      ending.push(() => rmSync(directory, { recursive: true, force: true }));
      const engine = await startEngine({ directory, logger: silent });
      ending.push(() => engine.stop());
      const { url, username, password } = engine;
      const clickhouse = await ClickHouseProxy.open(url);
      ending.push(() => clickhouse.close());
      const store = connectStore({ url, username, password });
      ending.push(() => store.close());
      const services = new RunningFleet({
        env: {
          ...settings,
          ASSAY_KAFKA_BROKERS: `127.0.0.1:${kafka.port}`,
          ASSAY_SCHEMA_REGISTRY_URL: testRegistryUrl(),
          ASSAY_CLICKHOUSE_URL: clickhouse.url,
          ASSAY_CLICKHOUSE_USER: username,
          ASSAY_CLICKHOUSE_PASSWORD: password,
        },
        replicas,
      });
      ending.push(() => services.stop());
      kafka.pids = () => services.pids();
      clickhouse.pids = () => services.pids();
      await services.start(ready_wait_ms);
      return new FaultFleet(broker, kafka, clickhouse, engine, directory, store, services);
    } catch (error) {
      for (const end of ending.reverse()) await end();
      throw error;
    }
  }

  /** Back in order after a test, however that went: all servers are there and all services ready. */
  async recover(): Promise<void> {
    this.kafka.forget();
    this.clickhouse.forget();
    if (this.away.broker) await this.startBroker();
    if (this.away.clickhouse) await this.startClickHouse();
    await this.services.ready(ready_wait_ms);
  }

  async endBroker(by: "stop" | "kill"): Promise<void> {
    this.away.broker = true;
    await this.broker[by]();
  }

  async startBroker(): Promise<void> {
    await this.broker.start();
    this.away.broker = false;
  }

  async stopClickHouse(): Promise<void> {
    this.away.clickhouse = true;
    await this.engine.stop();
  }

  /** At the same place. */
  async startClickHouse(): Promise<void> {
    this.engine = await startEngine({ directory: this.directory, logger: silent });
    this.away.clickhouse = false;
  }

  /** kill -9; it comes back by itself. */
  killClickHouse(): void {
    const { pid } = this.engine.status();
    if (pid === undefined) throw new Error("ClickHouse isn't running");
    process.kill(pid, "SIGKILL");
  }

  /** Leaves nothing running. Resolves with the services' exit codes. */
  async close(): Promise<readonly (number | null)[]> {
    this.closing.abort();
    const codes = await this.services.stop();
    await this.store.close();
    await this.clickhouse.close();
    await this.engine.stop();
    await this.broker.close();
    await this.kafka.close();
    rmSync(this.directory, { recursive: true, force: true });
    return codes;
  }
}
