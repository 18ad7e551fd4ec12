/** The settings of a command that needs Kafka: all problems are told at once, before anything is connected. */
import { type Definitions, type Environment, readSettings, type SettingsOf } from "@assay/runtime/settings";
import { clickhouseSettings } from "../embedded/settings";
import { settingsProblems } from "../embedded/settings-groups";
import { settingsError } from "../settings-error";
import { withDefaults } from "./defaults";
import { type KafkaSettings, kafkaRelations, kafkaSettings } from "./settings";
import { clickhouseRelations, type StoreLogin, serverLogin } from "./store-login";

export interface Needs {
  /** What asks, for the message: "assay setup". */
  readonly command: string;
  readonly store: boolean;
}

export interface DistributedSettings<D extends Definitions> {
  /** With what a fleet on Kafka has as defaults. */
  readonly env: Environment;
  readonly own: SettingsOf<D>;
  readonly kafka: KafkaSettings;
  /** Undefined where it isn't needed and not set. */
  readonly store: StoreLogin | undefined;
}

/** own: what the command reads besides. Throws UserError. */
export function readDistributedSettings<D extends Definitions>(
  given: Environment,
  needs: Needs & { readonly store: true },
  own: D,
): DistributedSettings<D> & { readonly store: StoreLogin };
export function readDistributedSettings<D extends Definitions>(given: Environment, needs: Needs, own: D): DistributedSettings<D>;
export function readDistributedSettings<D extends Definitions>(
  given: Environment,
  { command, store }: Needs,
  own: D,
): DistributedSettings<D> {
  const env = withDefaults(given);
  const problems: string[] = [];
  const mine = readSettings(own, env);
  const kafka = readSettings(kafkaSettings, env, kafkaRelations);
  const clickhouse = readSettings(clickhouseSettings, env, clickhouseRelations);
  if (kafka.ok && kafka.settings.kafka_brokers === "")
    problems.push(
      `ASSAY_KAFKA_BROKERS is not set, and ${command} is for Kafka; \`assay up\` runs everything on one machine without it`,
    );
  if (store && clickhouse.ok && clickhouse.settings.url === undefined)
    problems.push(`ASSAY_CLICKHOUSE_URL is not set; ${command} needs a ClickHouse server`);
  problems.push(...settingsProblems(env));
  if (!mine.ok) problems.push(...mine.problems);
  const all = [...new Set(problems)];
  if (mine.ok && kafka.ok && clickhouse.ok && all.length === 0)
    return { env, own: mine.settings, kafka: kafka.settings, store: serverLogin(clickhouse.settings) };
  throw settingsError(all);
}
