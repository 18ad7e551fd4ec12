/** The evaluator as a service: its three stages, over one log, one store and one view of control. */
import type { ControlView } from "@assay/control/follow";
import type { Logger } from "@assay/runtime/logger";
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { Readiness, RunningService } from "@assay/runtime/service";
import type { Codec } from "@assay/schemas/codec";
import type { Store } from "@assay/store/client";
import type { Log } from "@assay/stream/log";
import { runStage } from "@assay/stream/run-stage";
import type { RunningStage, StageLimits } from "@assay/stream/stage";
import { blockSink } from "./block-sink";
import { evaluateApplicationWindows } from "./evaluate-application-windows";
import { evaluateHostWindows } from "./evaluate-host-windows";
import { evaluateInventory } from "./evaluate-inventory";
import { evaluatorMetrics, measureLag } from "./metrics";
import { compilePackages, ruleEngine } from "./rule-engine";
import { followRuleSets } from "./rule-sets";
import type { EvaluatorSettings } from "./settings";

/** The caller closes what it passes, after stop. */
export interface EvaluatorSurroundings {
  readonly log: Log;
  readonly codec: Codec;
  readonly store: Pick<Store, "insertBlock">;
  readonly control: Pick<ControlView, "at" | "forgotten" | "versionAt" | "refresh">;
  readonly logger: Logger;
  readonly metrics: ServiceMetrics;
}

export async function startEvaluator(
  settings: EvaluatorSettings,
  { log, codec, store, control, logger, metrics }: EvaluatorSurroundings,
): Promise<RunningService> {
  const counted = evaluatorMetrics(metrics);
  const engine = ruleEngine;
  const rule_sets = followRuleSets(control, compilePackages, (failure) => {
    counted.rule_errors.inc({ cause: "package" });
    logger.error(failure, "a rule package in force can't be loaded; its rules are not evaluated");
  });
  const around = {
    sink: blockSink({ store, log, codec, metrics: counted }),
    limits: limits(settings),
    prepare: () => control.refresh(),
  };
  const { state_refresh_ms } = settings;
  const surroundings = { log, codec, logger, now: Date.now };
  const stages = new Map<string, RunningStage>([
    ["host-windows", runStage(evaluateHostWindows({ codec, engine, rule_sets, state_refresh_ms }, around), surroundings)],
    ["inventory", runStage(evaluateInventory({ codec, engine, rule_sets, control }, around), surroundings)],
    ["application-windows", runStage(evaluateApplicationWindows({ codec, engine, rule_sets }, around), surroundings)],
  ]);
  measureLag(metrics, stages);
  return hosted(stages, logger);
}

function hosted(stages: ReadonlyMap<string, RunningStage>, logger: Logger): RunningService {
  let state: Readiness = { ready: true };
  const ended = Promise.all(
    [...stages].map(([stage, running]) =>
      running.ended.catch((error: unknown) => {
        state = { ready: false, reason: `the stage ${stage} has ended: ${(error as Error).message}` };
        throw error;
      }),
    ),
  ).then(() => undefined);
  ended.catch(() => undefined); // stop() may come before anybody looks at it
  return {
    ready: () => state,
    ended,
    async stop() {
      state = { ready: false, reason: "stopping" };
      const stopped = await Promise.allSettled([...stages.values()].map((running) => running.stop()));
      for (const result of stopped) {
        if (result.status === "rejected")
          logger.warn({ error: result.reason as unknown }, "a stage had ended before it was stopped");
      }
    },
  };
}

/** From a source at a time: a record may be a whole window, so not many. */
const batch_records_max = 100;
const tick_wait_ms = 1_000;
const slice_ms = 8;

function limits({ flush_wait_ms, flush_outputs_max, checkpoint_wait_ms }: EvaluatorSettings): StageLimits {
  return { batch_records_max, flush_outputs_max, flush_wait_ms, checkpoint_wait_ms, tick_wait_ms, slice_ms };
}
