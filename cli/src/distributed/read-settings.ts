/** The settings of a command that needs Kafka: all problems are told at once, before anything is connected. */
import { type Definitions, type Environment, type Relation, readSettings, type SettingsOf } from "@assay/runtime/settings";
import { clickhouseSettings } from "../embedded/settings";
import { settingsProblems } from "../embedded/settings-groups";
import { UserError } from "../io";
import { type KafkaSettings, kafkaRelations, kafkaSettings } from "./settings";
import { clickhouseRelations, type StoreLogin, serverLogin } from "./store-login";

export interface Needs {
  /** What asks, for the message: "assay setup". */
  readonly command: string;
  readonly store: boolean;
}

export interface DistributedSettings<D extends Definitions> {
  readonly own: SettingsOf<D>;
  readonly kafka: KafkaSettings;
  /** Undefined where it isn't needed and not set. */
  readonly store: StoreLogin | undefined;
}

/** own: what the command reads besides. Throws UserError. */
export function readDistributedSettings<D extends Definitions>(
  env: Environment,
  { command, store }: Needs,
  own: D,
  relations: readonly Relation<D>[] = [],
): DistributedSettings<D> {
  const problems: string[] = [];
  const mine = readSettings(own, env, relations);
  const kafka = readSettings(kafkaSettings, env, kafkaRelations);
  const clickhouse = readSettings(clickhouseSettings, env, clickhouseRelations);
  if (kafka.ok && kafka.settings.brokers === "")
    problems.push(
      `ASSAY_KAFKA_BROKERS is not set, and ${command} is for Kafka; \`assay up\` runs everything on one machine without it`,
    );
  if (store && clickhouse.ok && clickhouse.settings.url === undefined)
    problems.push(`ASSAY_CLICKHOUSE_URL is not set; ${command} needs a ClickHouse server`);
  problems.push(...settingsProblems(env));
  if (!mine.ok) problems.push(...mine.problems);
  const all = [...new Set(problems)];
  if (mine.ok && kafka.ok && clickhouse.ok && all.length === 0)
    return { own: mine.settings, kafka: kafka.settings, store: serverLogin(clickhouse.settings) };
  throw settingsError(all);
}

export function settingsError(problems: readonly string[]): UserError {
  const many = problems.length === 1 ? "a setting is" : `${problems.length} settings are`;
  return new UserError(`${many} wrong:\n  ${problems.join("\n  ")}`);
}
