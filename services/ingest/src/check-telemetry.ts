/** What the schema can't say of a batch of telemetry. */
import { telemetryKinds } from "@assay/schemas/kinds";
import { type PartOf, projection } from "@assay/schemas/projection";
import { invalid, outOfBounds, type Problem, quoted } from "./problem";
import { event_ahead_ms_max, event_behind_ms_max, type IngestSettings, tags_max } from "./settings";

/** What is judged of a batch. Its texts aren't read: bounds.ts has measured them. */
export const checkedBatch = projection("TelemetryBatch", {
  host_id: true,
  incarnation: true,
  seq: true,
  sent_at: true,
  observed_from: true,
  complete_through: true,
  tags: true,
  processes: ["at", "pid", "parent_pid", "started_at", "parent_listens"],
  connections: ["at", "opened_at", "pid", "source_port", "destination_port"],
  listeners: ["at", "pid", "port"],
  collectors: ["collector"],
  drops: ["kind", "count"],
});
export type CheckedBatch = PartOf<typeof checkedBatch>;

/** Undefined where all is well. An agent's clock that is far from ours is no problem: times are compared with its own sent_at. */
export function telemetryProblem(batch: CheckedBatch, limits: Pick<IngestSettings, "events_max">): Problem | undefined {
  return headProblem(batch) ?? countProblem(batch, limits) ?? eventsProblem(batch) ?? accountingProblem(batch);
}

export function eventsOf(batch: CheckedBatch): number {
  return telemetryKinds.reduce((sum, kind) => sum + batch[kind].length, 0);
}

function headProblem(batch: CheckedBatch): Problem | undefined {
  for (const name of ["incarnation", "seq", "sent_at", "observed_from", "complete_through"] as const) {
    if (batch[name] < 1) return invalid(`${name} is ${batch[name]}, not positive`);
  }
  if (batch.complete_through < batch.observed_from) {
    return invalid(`complete_through ${batch.complete_through} is before observed_from ${batch.observed_from}`);
  }
  const ahead_ms = batch.complete_through - batch.sent_at;
  return ahead_ms > event_ahead_ms_max ? outOfBounds(aheadDetail("complete_through", ahead_ms)) : undefined;
}

function countProblem(batch: CheckedBatch, limits: Pick<IngestSettings, "events_max">): Problem | undefined {
  const events = eventsOf(batch);
  if (events > limits.events_max) {
    return outOfBounds(`batch of ${events} events is above the limit of ${limits.events_max} (ASSAY_INGEST_EVENTS_MAX)`);
  }
  const tags = Object.keys(batch.tags).length;
  return tags > tags_max ? outOfBounds(`${tags} tags are above the limit of ${tags_max} (tags_max)`) : undefined;
}

function eventsProblem(batch: CheckedBatch): Problem | undefined {
  const { sent_at } = batch;
  return (
    firstProblem("processes", batch.processes, (event) => {
      const badPort = event.parent_listens.find((port) => !isPort(port));
      return (
        timeProblem(event.at, sent_at) ??
        negativeProblem("started_at", event.started_at) ??
        negativeProblem("pid", event.pid) ??
        negativeProblem("parent_pid", event.parent_pid) ??
        (badPort === undefined ? undefined : portProblem("parent_listens", badPort))
      );
    }) ??
    firstProblem(
      "connections",
      batch.connections,
      (event) =>
        timeProblem(event.at, sent_at) ??
        negativeProblem("opened_at", event.opened_at) ??
        negativeProblem("pid", event.pid) ??
        portProblem("source_port", event.source_port) ??
        portProblem("destination_port", event.destination_port),
    ) ??
    firstProblem(
      "listeners",
      batch.listeners,
      (event) => timeProblem(event.at, sent_at) ?? negativeProblem("pid", event.pid) ?? portProblem("port", event.port),
    )
  );
}

function accountingProblem(batch: CheckedBatch): Problem | undefined {
  const kinds: readonly string[] = telemetryKinds;
  for (const { collector } of batch.collectors) {
    if (!kinds.includes(collector)) return invalid(`collector ${quoted(collector)} is none of ${kinds.join(", ")}`);
  }
  for (const { kind, count } of batch.drops) {
    if (!kinds.includes(kind) && kind !== "batches") {
      return invalid(`drops of ${quoted(kind)}, which is none of ${kinds.join(", ")}, batches`);
    }
    if (count < 0) return invalid(`drops of ${kind} are ${count}, below 0`);
  }
  return undefined;
}

/** A time far from the batch's own would make windows in a far future or past, which nobody means. */
function timeProblem(at: number, sent_at: number): Problem | undefined {
  if (at < 1) return invalid(`at is ${at}, not positive`);
  if (at - sent_at > event_ahead_ms_max) return outOfBounds(aheadDetail("at", at - sent_at));
  if (sent_at - at > event_behind_ms_max) {
    return outOfBounds(
      `at is ${sent_at - at} ms before sent_at, past the limit of ${event_behind_ms_max} ms (event_behind_ms_max)`,
    );
  }
  return undefined;
}

function aheadDetail(name: string, ahead_ms: number): string {
  return `${name} is ${ahead_ms} ms after sent_at, past the limit of ${event_ahead_ms_max} ms (event_ahead_ms_max)`;
}

function negativeProblem(name: string, value: number): Problem | undefined {
  return value < 0 ? invalid(`${name} is ${value}, below 0`) : undefined;
}

function portProblem(name: string, port: number): Problem | undefined {
  return isPort(port) ? undefined : invalid(`${name} is ${port}, not a port from 0 to 65535`);
}

function isPort(port: number): boolean {
  return port >= 0 && port <= 65_535;
}

function firstProblem<T>(kind: string, events: readonly T[], problemOf: (event: T) => Problem | undefined): Problem | undefined {
  for (const [index, event] of events.entries()) {
    const problem = problemOf(event);
    if (problem) return { ...problem, detail: `${kind}[${index}]: ${problem.detail}` };
  }
  return undefined;
}
