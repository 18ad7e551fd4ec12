/**
 * Sends what waits in the spool, one request at a time.
 *
 *   idle ──something waits──▶ enrolling (no credential yet) ──▶ sending ──2xx──▶ done, next
 *                                  ▲                              ├── 401: the credential is no good ──▶ enrolling, where there is a secret
 *                                  └──────────────────────────────┤
 *                                                                 ├── 400, 413, 415, 422: it can't be used: dropped and counted, next
 *                                                                 ├── 403 wrong_host: it is of another host: dropped and counted, next
 *                                                                 └── anything else, or no answer: waits, tries the same again
 *
 * A 401 proves nothing: over plain HTTP another process may have ingest's port while ingest is away. So the credential stays until an
 * ingest that has proved the secret has taken another one, and is tried again where it hasn't. See enrol.ts.
 */
import type { Codec } from "@assay/schemas/codec";
import { type BackoffLimits, backoff_ms } from "./backoff";
import type { DropCounts } from "./drop-counts";
import { enrol, field } from "./enrol";
import type { Answer, IngestClient } from "./ingest-client";
import type { AgentLogger } from "./logger";
import { countLost, type Spool, type Waiting } from "./spool";
import type { StateFolder } from "./state-folder";

export interface SenderOptions {
  readonly client: IngestClient;
  readonly spool: Spool;
  readonly state: StateFolder;
  readonly codec: Codec;
  readonly drops: DropCounts;
  readonly logger: AgentLogger;
  readonly host_id: string;
  readonly host_name: string;
  readonly agent_version: string;
  readonly secret: string | undefined;
  readonly retry: BackoffLimits;
  readonly now: () => number;
  readonly random: () => number;
  /** Ingest wants inventory that was collected at this time, on the agent's clock, or later. */
  readonly onInventoryWanted?: (since: number) => void;
}

export class Sender {
  private credential: string | undefined;
  /** By the latest answer to what was sent with it. */
  private isRefused = false;
  private failures = 0;
  private readonly stopping = new AbortController();
  private wake: () => void = () => undefined;
  private loop: Promise<void> | undefined;
  private told = "";

  constructor(private readonly options: SenderOptions) {
    this.credential = options.state.credential();
  }

  start(): void {
    this.loop = this.run();
  }

  /** Something waits. */
  poke(): void {
    this.wake();
  }

  /** Sends what it can within the time, without waiting between attempts, then ends. */
  async stop(wait_ms: number): Promise<void> {
    const deadline = setTimeout(() => this.stopping.abort(), wait_ms);
    this.draining = true;
    this.wake();
    await this.loop;
    clearTimeout(deadline);
    this.options.client.close();
  }

  private draining = false;

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const next = this.options.spool.next();
      if (!next) {
        if (this.draining) return;
        await this.sleep(undefined);
        continue;
      }
      const wait_ms = await this.attempt(next);
      if (wait_ms === 0) continue;
      if (this.draining) return; // ingest is away: the spool keeps it for the next start
      await this.sleep(wait_ms);
    }
  }

  /** How long to wait before the next attempt. */
  private async attempt(next: Waiting): Promise<number> {
    try {
      if (this.credential === undefined || this.isRefused) {
        this.isRefused = false;
        const refused = await this.enrol();
        if (refused) return this.failed(refused, "enrolment failed");
      }
      return this.judge(next, await this.send(next));
    } catch (error) {
      if (this.stopping.signal.aborted) return 0;
      return this.failed({ status: 0, body: (error as Error).message, retry_after_ms: undefined }, "ingest is not reachable");
    }
  }

  private send(next: Waiting): Promise<Answer> {
    const { codec, client, now, host_id } = this.options;
    const sent_at = now();
    const [path, body] =
      next.kind === "telemetry"
        ? ["/v1/telemetry", codec.encode("TelemetryBatch", { ...next.value, sent_at })]
        : ["/v1/inventory", codec.encode("InventorySection", { ...next.value, sent_at })];
    const headers = {
      "content-type": "application/vnd.assay.avro",
      authorization: `Bearer ${this.credential}`,
      "x-assay-host": host_id,
    };
    return client.post(path, headers, body, this.stopping.signal);
  }

  private judge(next: Waiting, answer: Answer): number {
    const { spool, logger, secret } = this.options;
    if (answer.status >= 200 && answer.status < 300) {
      spool.done(next);
      if (this.failures > 0)
        logger.info({ failures: this.failures, waiting: spool.waitingBatches }, "ingest takes batches again");
      this.failures = 0;
      this.told = "";
      const age_ms_max = inventoryAgeOf(answer.body);
      if (age_ms_max !== undefined) this.options.onInventoryWanted?.(this.options.now() - age_ms_max);
      return 0;
    }
    if (unusable.has(answer.status)) {
      logger.error(
        { kind: next.kind, name: next.slot.name, status: answer.status, reason: answer.body },
        "ingest can't use this; dropped",
      );
      return this.lose(next, "rejected");
    }
    if (answer.status === 403 && codeOf(answer.body) === "wrong_host") {
      // The spool is of another identity than the agent's: its host-id file was lost or replaced. No credential that this agent may
      // have would bring it in, so to wait would hold up all that comes after it.
      logger.error(
        { kind: next.kind, name: next.slot.name, host_id: this.options.host_id, of_host: next.value.host_id },
        "spooled by another host than this agent is now; dropped",
      );
      return this.lose(next, "wrong_host");
    }
    if (answer.status === 401) {
      this.isRefused = secret !== undefined;
      return this.failed(answer, "ingest refuses the credential");
    }
    return this.failed(answer, "ingest does not take batches");
  }

  /** It never will be delivered; the next batch tells so. */
  private lose(lost: Waiting, reason: string): number {
    const { drops, spool } = this.options;
    if (lost.kind === "telemetry") countLost(drops, lost.value, reason);
    spool.done(lost);
    return 0;
  }

  /** Undefined where it went well. */
  private async enrol(): Promise<Answer | undefined> {
    const { client, secret, host_id, host_name, agent_version, state, logger } = this.options;
    if (secret === undefined) {
      return { status: 0, body: "there is no credential and no secret (ASSAY_AGENT_ENROL_SECRET)", retry_after_ms: undefined };
    }
    const enrolled = await enrol(client, secret, { host_id, host_name, agent_version }, this.stopping.signal);
    if (enrolled.kind === "refused") return enrolled.answer;
    this.credential = enrolled.credential;
    state.keepCredential(enrolled.credential);
    logger.info({ host_id }, "enrolled");
    return undefined;
  }

  private failed(answer: Answer, message: string): number {
    this.failures++;
    this.options.spool.keep();
    const { logger, retry, random } = this.options;
    const wait_ms = Math.max(
      backoff_ms(this.failures, retry, random()),
      Math.min(answer.retry_after_ms ?? 0, retry_after_max_ms),
    );
    const what = `${message} ${answer.status}`;
    // Once per kind of failure: the same line each half minute helps nobody.
    if (what !== this.told) logger.warn({ status: answer.status, reason: answer.body, wait_ms }, message);
    this.told = what;
    return wait_ms;
  }

  private sleep(wait_ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = wait_ms === undefined ? undefined : setTimeout(() => settle(), wait_ms);
      const settle = () => {
        clearTimeout(timer);
        this.wake = () => undefined;
        resolve();
      };
      // News of more work doesn't shorten a wait after a failure; the end does.
      this.wake = () => {
        if (wait_ms === undefined || this.draining) settle();
      };
    });
  }
}

const unusable = new Set([400, 413, 415, 422]);
const retry_after_max_ms = 300_000;

function inventoryAgeOf(body: string): number | undefined {
  const age_ms_max = field(body, (answer) => answer.inventory_age_ms_max);
  return typeof age_ms_max === "number" && age_ms_max >= 0 ? age_ms_max : undefined;
}

function codeOf(body: string): unknown {
  return field(body, (answer) => (answer.error as { code?: unknown } | undefined)?.code);
}
