/**
 * `assay setup`: everything that services need before they can start, made or found as it should be. Each step can be repeated, and
 * a step that fails leaves what the steps before it made.
 *
 *   tables ─▶ schemas ─▶ topics ─▶ commands to the coordinator: rule packages, the report API's first key
 *
 * Commands stand in the log once they are appended: a correlator that starts later carries them out. So the setup needs none; where one
 * runs it waits for the answers.
 */
import type { Logger } from "@assay/runtime/logger";
import { allTopics } from "@assay/schemas/topics";
import { connectStore } from "@assay/store/client";
import { migrate } from "@assay/store/migrate";
import type { KafkaLog } from "@assay/stream/kafka-log";
import { UserError } from "../io";
import { abortable } from "./abortable";
import { askCoordinator, type CoordinatorPlan, type SetupResult } from "./ask-coordinator";
import { openKafka } from "./open-log";
import type { KafkaSettings } from "./settings";
import { type StoreLogin, storeOptions } from "./store-login";
import { differenceLines } from "./topic-table";

export interface SetupPlan extends CoordinatorPlan {
  readonly kafka: KafkaSettings;
  readonly store: StoreLogin;
}

export interface SetupParts {
  readonly logger: Logger;
  /** What was done: a line for the user. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Rejects, UserError or else, where something can't be made or used as it is. */
export async function setUp(plan: SetupPlan, { logger, say, signal }: SetupParts): Promise<SetupResult> {
  say(await setUpStore(plan.store));
  signal.throwIfAborted();
  const opened = await abortable(openKafka(plan.kafka, "assay-setup", logger), signal, (late) => late.close());
  try {
    say("schemas     registered, each the one to write with");
    for (const line of await setUpTopics(opened.log)) say(line);
    signal.throwIfAborted();
    return await askCoordinator(plan, opened, say, signal);
  } finally {
    await opened.close();
  }
}

async function setUpStore(login: StoreLogin): Promise<string> {
  const store = connectStore(storeOptions(login));
  try {
    const applied = await migrate(store, login.cluster === undefined ? {} : { cluster: login.cluster });
    return `tables      ${applied.length === 0 ? "up to date" : `migrated: ${applied.join(", ")}`}`;
  } finally {
    await store.close();
  }
}

async function setUpTopics(log: KafkaLog): Promise<string[]> {
  const before = await log.checkTopics(allTopics);
  const fatal = before.some((check) => check.differences.some((d) => d.fatal));
  const found = differenceLines(before.filter((check) => check.exists));
  if (fatal) throw new UserError(`the topics can't be used as they are:\n  ${found.join("\n  ")}`);
  await log.ensureTopics(allTopics);
  const made = before.filter((check) => !check.exists).length;
  const what = made === 0 ? "all there" : `${made} of ${allTopics.length} made now`;
  return [`topics      ${what}`, ...found.map((line) => `warning: ${line}`)];
}
