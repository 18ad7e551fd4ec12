/**
 * The coordinator's loop: commands in, control out. Whoever owns the commands partition runs it. Its state is control itself, read
 * to its end before each command and after each append, so nothing is checkpointed: after a crash between the append and the commit,
 * the command comes again and its answer is already there.
 *
 * An owner that was stalled may learn only after its next append that another one has taken over. Readers of control ignore what it
 * appended too late (control's follow.ts); so does this loop, which decides anew where its own record lost the race.
 */
import { ControlView } from "@assay/control/follow";
import type { Logger } from "@assay/runtime/logger";
import type { Codec } from "@assay/schemas/codec";
import type { ControlRecord } from "@assay/schemas/generated/types";
import { topics } from "@assay/schemas/topics";
import type { Log, LogRecord, Source } from "@assay/stream/log";
import { waitForRoom } from "@assay/stream/wait-for-room";
import { unexpected } from "../dead-letter";
import { coordinator_group } from "../stage-names";
import { decide } from "./decide";
import { advance, type Evaluated, type LifeCycleSettings } from "./life-cycle";

export interface CoordinatorSettings extends LifeCycleSettings {
  readonly window_ms: number;
}

const poll_wait_ms = 200;
const commands_per_batch_max = 100;
const progress_batch_records_max = 500;
/** Each lost one means that another owner appended something in between. */
const attempts_max = 10;

export interface RunningCoordinator {
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export async function runCoordinator(
  log: Log,
  codec: Codec,
  settings: CoordinatorSettings,
  logger: Logger,
): Promise<RunningCoordinator> {
  const source = await log.source({
    group: coordinator_group,
    topics: [topics.commands.name],
    from: "earliest",
    batch_records_max: commands_per_batch_max,
  });
  let stopping = false;
  const ended = loop(log, codec, settings, logger, source, () => stopping).finally(() => source.close());
  return {
    ended,
    stop: async () => {
      stopping = true;
      await ended;
    },
  };
}

async function loop(
  log: Log,
  codec: Codec,
  settings: CoordinatorSettings,
  logger: Logger,
  source: Source,
  stopping: () => boolean,
): Promise<void> {
  let control: ControlView | undefined;
  let since = 0;
  const patiently = <T>(work: () => Promise<T>) =>
    waitForRoom(work, {
      stopping,
      onFull: (error) => logger.warn({ error }, "the log is full; the coordinator waits for room"),
    });
  const control_log: ControlLog = { append: (records) => patiently(() => log.append(records)) };
  const progress = new ProgressReader(log, codec);
  while (!stopping()) {
    const event = await source.next(poll_wait_ms);
    if (event.kind === "assigned") {
      control = await ControlView.open(log, codec);
      since = Date.now();
      continue;
    }
    if (event.kind === "revoked") {
      control = undefined;
      continue;
    }
    if (!control) continue;
    if (event.kind === "records") {
      const view = control;
      for (const record of event.records) await carryOut(control_log, codec, view, record, settings.window_ms, logger);
      const last = event.records.at(-1);
      if (last) {
        const position = { topic: last.topic, partition: last.partition, offset: last.offset + 1 };
        if ((await patiently(() => source.commit(position, event.generation, ""))) === "fenced") {
          control = undefined; // another member coordinates
          continue;
        }
      }
    }
    await progress.refresh();
    await publish(control_log, codec, control, advance(control, progress, Date.now(), since, settings), logger);
  }
}

type ControlLog = Pick<Log, "append">;

async function carryOut(
  log: ControlLog,
  codec: Codec,
  control: ControlView,
  record: LogRecord,
  window_ms: number,
  logger: Logger,
): Promise<void> {
  if (!record.value) return;
  const decoded = codec.decode(record.value);
  if (decoded.name === "Command") {
    const { value: command } = decoded;
    await control.refresh();
    for (let attempts = 1; !control.answerTo(command.command_id); attempts++) {
      if (attempts > attempts_max) throw new Error(`the answer to command ${command.command_id} lost ${attempts_max} races`);
      // By a clock, as only the first decision stands: after a crash the version that it made is there.
      const decided_at = Math.max(record.timestamp, Date.now());
      await publish(log, codec, control, decide(control, command, decided_at, window_ms), logger);
    }
    return;
  }
  await log.append([unexpected(codec, record, decoded)]);
  logger.warn({ offset: record.offset, name: decoded.name }, "a record among the commands isn't one");
}

async function publish(
  log: ControlLog,
  codec: Codec,
  control: ControlView,
  records: readonly ControlRecord[],
  logger: Logger,
): Promise<void> {
  if (records.length === 0) return;
  await log.append(
    records.map((r) => ({
      topic: topics.control.name,
      key: `${r.kind}/${r.id}@${r.version}`,
      value: codec.encode("ControlRecord", r),
    })),
  );
  await control.refresh();
  for (const r of records) {
    if (r.kind !== "answer")
      logger.info({ kind: r.kind, id: r.id, version: r.version, effective_from: r.effective_from }, "control changed");
  }
}

/** Follows assay.progress from its beginning: what the evaluator's stages have written. */
class ProgressReader implements Evaluated {
  readonly hosts = new Map<string, number>();
  readonly applications = new Map<string, number>();
  private next = 0;

  constructor(
    private readonly log: Log,
    private readonly codec: Codec,
  ) {}

  async refresh(): Promise<void> {
    for (;;) {
      const records = await this.log.read(topics.progress.name, 0, this.next, progress_batch_records_max);
      for (const record of records) this.apply(record);
      const last = records.at(-1);
      if (!last) return;
      this.next = last.offset + 1;
    }
  }

  private apply(record: LogRecord): void {
    const decoded = record.value ? this.codec.decode(record.value) : undefined;
    if (decoded?.name !== "Progress") return;
    const into = decoded.value.stage === "evaluate-application-windows" ? this.applications : this.hosts;
    if (decoded.value.stage !== "evaluate-application-windows" && decoded.value.stage !== "evaluate-host-windows") return;
    for (const [id, through] of Object.entries(decoded.value.hosts)) into.set(id, Math.max(into.get(id) ?? 0, through));
  }
}
