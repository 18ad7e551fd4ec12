/** The correlator: the host-window stage, the application-window stage, and the coordinator of assessments. */
import type { ControlView } from "@assay/control/follow";
import type { Logger } from "@assay/runtime/logger";
import type { ServiceMetrics } from "@assay/runtime/metrics";
import type { RunningService } from "@assay/runtime/service";
import type { Codec } from "@assay/schemas/codec";
import { topics } from "@assay/schemas/topics";
import type { Log, NewRecord } from "@assay/stream/log";
import { runStage } from "@assay/stream/run-stage";
import type { Sink, Stage, StageLimits } from "@assay/stream/stage";
import { type MergeState, mergeState, reducePartial } from "./applications/merge";
import { runCoordinator } from "./coordinator/run-coordinator";
import { membershipBy } from "./host-windows/membership";
import { reduceTelemetry } from "./host-windows/reduce";
import { tellSilence } from "./host-windows/silence";
import { hostWindowState, type PartitionState } from "./host-windows/state";
import { type CorrelatorMetrics, correlatorMetrics } from "./metrics";
import type { CorrelatorSettings } from "./settings";
import { stage_names } from "./stage-names";

export interface CorrelatorParts {
  readonly log: Log;
  readonly codec: Codec;
  /** The correlator's own view: it refreshes it before it closes windows. */
  readonly control: ControlView;
  readonly logger: Logger;
  readonly metrics: ServiceMetrics;
  readonly now?: () => number;
}

export async function startCorrelator(settings: CorrelatorSettings, parts: CorrelatorParts): Promise<RunningService> {
  const { log, codec, control, logger } = parts;
  const now = parts.now ?? Date.now;
  const metrics = correlatorMetrics(parts.metrics);
  const coordinator = await runCoordinator(log, codec, settings, logger);
  const stages = [
    runStage(hostWindowStage(settings, parts, metrics), { log, codec, logger, now }),
    runStage(mergeStage(settings, parts, metrics), { log, codec, logger, now }),
  ] as const;
  metrics.watch(stage_names.host_windows, stages[0].status);
  metrics.watch(stage_names.application_windows, stages[1].status);
  await control.refresh();
  return {
    ready: () => ({ ready: true }),
    ended: Promise.race([coordinator.ended, ...stages.map((s) => s.ended)]),
    stop: async () => {
      const stopped = await Promise.allSettled([...stages, coordinator].map((running) => running.stop()));
      for (const result of stopped) {
        if (result.status === "rejected")
          logger.warn({ error: result.reason as unknown }, "a part had ended before it was stopped");
      }
    },
  };
}

function limits(settings: CorrelatorSettings): StageLimits {
  return {
    batch_records_max: 500,
    flush_outputs_max: 1_000,
    flush_wait_ms: 100,
    checkpoint_wait_ms: settings.checkpoint_wait_ms,
    tick_wait_ms: 1_000,
    slice_ms: 8,
  };
}

function hostWindowStage(
  settings: CorrelatorSettings,
  parts: CorrelatorParts,
  metrics: CorrelatorMetrics,
): Stage<PartitionState, NewRecord> {
  const { codec, control } = parts;
  const membership = membershipBy(control);
  return {
    name: stage_names.host_windows,
    input: topics.telemetry.name,
    state: hostWindowState,
    prepare: () => control.refresh(),
    reduce: (state, record, outputs) => reduceTelemetry(state, record, outputs, codec, membership, settings),
    sink: logSink(parts.log, stage_names.host_windows, metrics),
    tick: (state, now) => tellSilence(state, now, settings.silent_after_ms, codec),
    limits: limits(settings),
  };
}

function mergeStage(
  settings: CorrelatorSettings,
  parts: CorrelatorParts,
  metrics: CorrelatorMetrics,
): Stage<MergeState, NewRecord> {
  return {
    name: stage_names.application_windows,
    input: topics.applicationPartials.name,
    state: mergeState,
    reduce: (state, record, outputs) => reducePartial(state, record, outputs, parts.codec),
    sink: logSink(parts.log, stage_names.application_windows, metrics),
    limits: limits(settings),
  };
}

/** At least once: readers drop repeats by the parts' ids and the windows' revisions. */
function logSink(log: Log, stage: string, metrics: CorrelatorMetrics): Sink<NewRecord> {
  return {
    exact: false,
    write: async (block) => {
      await log.append(block.outputs);
      metrics.outputsOf(stage, block.outputs.length);
    },
  };
}
