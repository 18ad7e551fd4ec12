/** Which service is started how: its settings from the environment, its parts from the thread. */
import { ask } from "@assay/control/ask";
import type { CommandBody } from "@assay/control/commands";
import type { ControlView } from "@assay/control/follow";
import { correlatorRelations, correlatorSettings } from "@assay/correlator/settings";
import { startCorrelator } from "@assay/correlator/start-correlator";
import { evaluatorRelations, evaluatorSettings } from "@assay/evaluator/settings";
import { startEvaluator } from "@assay/evaluator/start-evaluator";
import { controlDirectory } from "@assay/ingest/agent-directory";
import { ingestRelations, ingestSettings } from "@assay/ingest/settings";
import { startIngest } from "@assay/ingest/start-ingest";
import { reportApiSettings } from "@assay/report-api/settings";
import { startReportApi } from "@assay/report-api/start-report-api";
import type { Logger } from "@assay/runtime/logger";
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { RunningService } from "@assay/runtime/service";
import { type Definitions, type Relation, readSettings, type SettingsOf } from "@assay/runtime/settings";
import type { Codec } from "@assay/schemas/codec";
import { connectStore, type StoreOptions } from "@assay/store/client";
import type { Log } from "@assay/stream/log";
import { storeOptions } from "../distributed/store-login";
import type { ThreadPlan } from "./thread-messages";

export interface ThreadParts {
  readonly log: Log;
  readonly codec: Codec;
  readonly control: ControlView;
  readonly logger: Logger;
  readonly metrics: ServiceMetrics;
}

export interface StartedService {
  readonly service: RunningService;
  /** Of a service that listens. */
  readonly port: number | undefined;
}

export async function startService(plan: ThreadPlan, parts: ThreadParts): Promise<StartedService> {
  switch (plan.service) {
    case "ingest": {
      const { log, codec, control } = parts;
      const settings = read(ingestSettings, plan, ingestRelations);
      const service = await startIngest(settings, { ...parts, agents: controlDirectory(log, codec, control) });
      return { service, port: service.port };
    }
    case "correlator":
      return { service: await startCorrelator(read(correlatorSettings, plan, correlatorRelations), parts), port: undefined };
    case "evaluator": {
      const store = connectStore(storeOf(plan));
      const service = await startEvaluator(read(evaluatorSettings, plan, evaluatorRelations), { ...parts, store });
      return { service: closing(service, store), port: undefined };
    }
    case "report-api": {
      const store = connectStore(storeOf(plan));
      const { log, codec, control: view } = parts;
      const control = { view, ask: (body: CommandBody, by: string) => ask(log, codec, view, body, by) };
      const service = await startReportApi(read(reportApiSettings, plan), { ...parts, control, store });
      return { service: closing(service, store), port: service.port };
    }
  }
}

function storeOf({ service, store }: ThreadPlan): StoreOptions {
  if (store === undefined) throw new Error(`${service} needs a store, and was given none`);
  return storeOptions(store);
}

function read<D extends Definitions>(definitions: D, plan: ThreadPlan, relations: readonly Relation<D>[] = []): SettingsOf<D> {
  const result = readSettings(definitions, plan.env, relations);
  if (!result.ok) throw new Error(result.problems.join("; "));
  return result.settings;
}

/** The store that was opened for a service is closed after it. */
function closing(service: RunningService, store: { close(): Promise<void> }): RunningService {
  return {
    ready: () => service.ready(),
    ended: service.ended,
    stop: async () => {
      await service.stop();
      await store.close();
    },
  };
}
