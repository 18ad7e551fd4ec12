/**
 * A starting service's wait for `assay setup`: the topics are there as the one table wants them, and the store has its tables. Replicas
 * may start before the setup, or with it; what is there in another form ends the wait at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { allTopics } from "@assay/schemas/topics";
import type { Store } from "@assay/store/client";
import { NotMigratedError, requireMigrated } from "@assay/store/migrate";
import type { KafkaLog, TopicCheck } from "@assay/stream/kafka-log";

export interface SetupWait {
  readonly log: Pick<KafkaLog, "checkTopics">;
  /** Undefined for a service that doesn't use it. */
  readonly store: Store | undefined;
  readonly wait_ms: number;
  readonly signal: AbortSignal;
  /** What is missing; each time it is looked for. */
  readonly onMissing: (what: string) => void;
}

const poll_wait_ms = 2_000;

/** Rejects where what is there can't be used, where wait_ms has passed, and when the signal is aborted. */
export async function awaitSetup({ log, store, wait_ms, signal, onMissing }: SetupWait): Promise<void> {
  const until = Date.now() + wait_ms;
  for (;;) {
    signal.throwIfAborted();
    const without = missingTopics(await log.checkTopics(allTopics));
    const missing = without ?? (store && (await missingTables(store)));
    if (missing === undefined) return;
    onMissing(missing);
    if (Date.now() + poll_wait_ms > until) {
      // Of tables the store says so itself.
      const advice = without === undefined ? "" : ": run assay setup";
      throw new Error(`${missing}; nothing changed within ${wait_ms} ms (ASSAY_SETUP_WAIT_MS)${advice}`);
    }
    await sleep(poll_wait_ms, undefined, { signal });
  }
}

/** Throws where a topic can't be used as it is. */
export function missingTopics(checks: readonly TopicCheck[]): string | undefined {
  const fatal = checks.flatMap(({ topic, differences }) =>
    differences.filter((d) => d.fatal).map((d) => `${topic} has ${d.what} ${d.found}, not ${d.wanted}`),
  );
  if (fatal.length > 0) throw new Error(`the topics can't be used: ${fatal.join("; ")} (assay topics says what to do)`);
  const missing = checks.filter((check) => !check.exists).map((check) => check.topic);
  if (missing.length === 0) return undefined;
  return missing.length === checks.length
    ? "none of the topics is there yet"
    : `${missing.length} of ${checks.length} topics are not there yet: ${missing.join(", ")}`;
}

async function missingTables(store: Store): Promise<string | undefined> {
  try {
    await requireMigrated(store);
    return undefined;
  } catch (error) {
    // A server that is too old, or has the tables of a newer version, doesn't become right by waiting.
    if (error instanceof NotMigratedError) return error.message;
    throw error;
  }
}
