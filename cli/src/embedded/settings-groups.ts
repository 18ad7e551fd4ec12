/** Every setting that there is, by who reads it: for the reference page, and for telling all problems of an environment at once. */
import { agentSettings } from "@assay/agent/config";
import { publishRelations } from "@assay/agent/publish-settings";
import { correlatorRelations, correlatorSettings } from "@assay/correlator/settings";
import { evaluatorRelations, evaluatorSettings } from "@assay/evaluator/settings";
import { ingestRelations, ingestSettings } from "@assay/ingest/settings";
import { reportApiSettings } from "@assay/report-api/settings";
import { type Definitions, type Environment, type Relation, readSettings } from "@assay/runtime/settings";
import type { SettingsGroup } from "@assay/runtime/settings-reference";
import { unknownSettings } from "@assay/runtime/unknown-settings";
import { kafkaRelations, kafkaSettings, serviceSettings, setupSettings } from "../distributed/settings";
import { clickhouseRelations } from "../distributed/store-login";
import { clickhouseSettings, embeddedSettings } from "./settings";

interface Group extends SettingsGroup {
  problems(env: Environment): readonly string[];
}

export const settingsGroups: readonly Group[] = [
  group("Embedded Assay", "Read by `assay up`, `assay assess`, `assay audit` and `assay dead-letters`.", embeddedSettings),
  group("Kafka and schema registry", "Read by everything but the agent.", kafkaSettings, kafkaRelations),
  group("Store", undefined, clickhouseSettings, clickhouseRelations),
  group("Setup", "Read by `assay setup`, which also takes ASSAY_RULES_DIR.", setupSettings),
  group("Services", "Read by `assay service`, which also takes ASSAY_METRICS_PORT.", serviceSettings),
  group("Ingest", undefined, ingestSettings, ingestRelations),
  group("Correlator", undefined, correlatorSettings, correlatorRelations),
  group("Evaluator", undefined, evaluatorSettings, evaluatorRelations),
  group("Report API", undefined, reportApiSettings),
  group(
    "Agent",
    "`assay up` and `assay assess` set where its state is, where it sends and with which secret.",
    agentSettings,
    publishRelations,
  ),
];

/** All of them, each once. */
export function settingsProblems(env: Environment): readonly string[] {
  const wrong = settingsGroups.flatMap((g) => g.problems(env));
  return [
    ...new Set([
      ...wrong,
      ...unknownSettings(
        env,
        settingsGroups.map((g) => g.definitions),
      ),
    ]),
  ];
}

function group<D extends Definitions>(
  title: string,
  doc: string | undefined,
  definitions: D,
  relations: readonly Relation<D>[] = [],
): Group {
  return {
    title,
    ...(doc === undefined ? {} : { doc }),
    definitions,
    problems(env) {
      const read = readSettings(definitions, env, relations);
      return read.ok ? [] : read.problems;
    },
  };
}
