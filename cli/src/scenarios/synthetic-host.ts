/**
 * A host that isn't there: makes batches by a seed and delivers them as the agent's contract says: enrols, keeps one batch in flight,
 * sends it again until ingest answers 200, and counts what it has delivered, once per batch.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Codec } from "@assay/schemas/codec";
import { isEnrolmentProof, proven } from "@assay/schemas/enrolment";
import type { ConnectionEvent, ListenerEvent, ProcessEvent, TelemetryBatch } from "@assay/schemas/generated/types";
import { type KindCounts, noCounts } from "../audit/recount";
import type { Random } from "./seeded";

export interface HostPlan {
  readonly host_id: string;
  /** Its own among the hosts, so that no two of them are taken for ends of one flow. */
  readonly address: string;
  readonly random: Random;
  readonly codec: Codec;
  readonly ingest_url: string;
  readonly enrol_secret: string;
  readonly batch_wait_ms: number;
  readonly events_per_batch: number;
  /** How far its clock is ahead of the true time; 0 where it isn't said. */
  readonly clock_ahead_ms?: number;
  /** Aborted, the host is no more: what it has in hand isn't delivered. */
  readonly gone?: AbortSignal;
}

/** What was delivered, counted where it was made. */
export interface Delivered {
  readonly batches: number;
  readonly attempts: number;
  readonly events: KindCounts;
  /** Of events that a rule has to match: how many were delivered, by rule. */
  readonly marked: Readonly<Record<string, number>>;
}

/** Ids of rules that synthetic events match on purpose, and nothing else of theirs does. */
export const markedRules = {
  /** Shell started by a network service */
  shell: "3dface8e-8dd6-4284-9c4d-071830d29b9e",
  /** Secret in a command line */
  secret: "4d3ae1bf-98ae-4b6b-abae-6641875d5591",
  /** Insecure client protocol used to log in */
  telnet: "8a50faf7-2340-4023-b249-b9e23ffe7a1f",
} as const;

const answer_wait_ms = 5_000;
const retry_first_ms = 200;
const retry_max_ms = 2_000;

export class SyntheticHost {
  private readonly events = noCounts();
  private readonly marked: Record<string, number> = {};
  private batches = 0;
  private attempts = 0;
  private seq = 0;
  private credential: string | undefined;
  private incarnation = 0;
  private told_through = 0;

  constructor(private readonly plan: HostPlan) {}

  delivered(): Delivered {
    return { batches: this.batches, attempts: this.attempts, events: this.events, marked: this.marked };
  }

  /** Begins to observe, and sends batches until it is stopped and the one in hand is delivered. */
  async run(stopped: AbortSignal): Promise<void> {
    this.incarnation = this.now();
    this.told_through = this.incarnation;
    await sleep(this.plan.random.between(0, this.plan.batch_wait_ms));
    while (!stopped.aborted) {
      await this.deliver(this.makeBatch(this.plan.events_per_batch));
      await sleep(this.plan.batch_wait_ms);
    }
  }

  /** Tells that nothing happened until now, so that the windows before close. */
  async finish(): Promise<void> {
    await this.deliver(this.makeBatch(0));
  }

  private makeBatch(count: number): TelemetryBatch & { marks: Record<string, number> } {
    const now = this.now();
    const { random, host_id, address } = this.plan;
    const from = this.told_through;
    this.told_through = now;
    const at = () => random.between(from, Math.max(from + 1, now));
    const batch = {
      host_id,
      host_name: host_id,
      agent_version: "synthetic",
      incarnation: this.incarnation,
      seq: ++this.seq,
      sent_at: now,
      observed_from: this.incarnation,
      complete_through: now,
      tags: {},
      processes: [] as ProcessEvent[],
      connections: [] as ConnectionEvent[],
      listeners: [] as ListenerEvent[],
      collectors: ["processes", "connections", "listeners"].map((collector) => ({
        collector,
        status: "ok" as const,
        reason: "",
        missing_fields: [],
      })),
      drops: [],
      marks: {} as Record<string, number>,
    };
    const mark = (rule: string) => {
      batch.marks[rule] = (batch.marks[rule] ?? 0) + 1;
    };
    for (let i = 0; i < count; i++) {
      const draw = random.next();
      if (draw < 0.005) {
        batch.processes.push(
          processEvent(at(), {
            parent_image: "/usr/sbin/nginx",
            parent_listens: [80],
            image: "/bin/sh",
            command_line: "sh -c id",
          }),
        );
        mark(markedRules.shell);
      } else if (draw < 0.01) {
        batch.processes.push(processEvent(at(), { command_line: "/usr/bin/app --password [REDACTED:0123456789ab]" }));
        mark(markedRules.secret);
      } else if (draw < 0.015) {
        batch.connections.push(connectionEvent(at(), address, random.between(30_000, 60_000), "192.0.2.10", 23));
        mark(markedRules.telnet);
      } else if (draw < 0.5)
        batch.processes.push(processEvent(at(), { command_line: `/usr/bin/app --job ${random.between(0, 50)}` }));
      else if (draw < 0.95) {
        batch.connections.push(
          connectionEvent(at(), address, random.between(30_000, 60_000), `198.51.100.${random.between(1, 40)}`, 443),
        );
      } else batch.listeners.push(listenerEvent(at()));
    }
    return batch;
  }

  private async deliver({ marks, ...batch }: TelemetryBatch & { marks: Record<string, number> }): Promise<void> {
    for (let wait_ms = retry_first_ms; ; wait_ms = Math.min(retry_max_ms, wait_ms * 2)) {
      const answered = await this.attempt(batch).catch(() => undefined);
      if (answered === "accepted") break;
      if (answered !== undefined) throw new Error(`ingest refused a batch of ${batch.host_id}: ${answered}`);
      this.plan.gone?.throwIfAborted();
      await sleep(wait_ms);
    }
    this.batches++;
    this.events.processes += batch.processes.length;
    this.events.connections += batch.connections.length;
    this.events.listeners += batch.listeners.length;
    for (const [rule, count] of Object.entries(marks)) this.marked[rule] = (this.marked[rule] ?? 0) + count;
  }

  /** undefined: try again. */
  private async attempt(batch: TelemetryBatch): Promise<"accepted" | string | undefined> {
    this.credential ??= await enrolHost(this.plan.ingest_url, this.plan.enrol_secret, this.plan.host_id);
    this.attempts++;
    const wire = this.plan.codec.encode("TelemetryBatch", { ...batch, sent_at: this.now() });
    const response = await fetch(`${this.plan.ingest_url}/v1/telemetry`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${this.credential}`,
        "x-assay-host": this.plan.host_id,
        "content-type": "application/octet-stream",
      },
      body: new Uint8Array(wire),
      signal: AbortSignal.timeout(answer_wait_ms),
    });
    const text = await response.text();
    if (response.ok) return "accepted";
    if (response.status === 401) this.credential = undefined; // enrolled again while the answer got lost
    return response.status >= 500 || response.status === 429 || response.status === 401
      ? undefined
      : `${response.status} ${text}`;
  }

  private now(): number {
    return Date.now() + (this.plan.clock_ahead_ms ?? 0);
  }
}

/** The credential that it made and ingest took. Throws where it was refused. */
export async function enrolHost(ingest_url: string, secret: string, host_id: string): Promise<string> {
  const credential = randomBytes(32).toString("base64url");
  const credential_sha256 = createHash("sha256").update(credential).digest("hex");
  const challenge = await askChallenge(ingest_url);
  const enrolment = { host_id, host_name: host_id, agent_version: "synthetic", credential_sha256, challenge };
  const { proof } = await ask(ingest_url, "/v1/enrol", proven(secret, enrolment));
  if (!isEnrolmentProof(secret, "ingest", enrolment, String(proof))) {
    throw new Error(`${host_id} was not enrolled: ingest didn't prove the secret`);
  }
  return credential;
}

export async function askChallenge(ingest_url: string): Promise<string> {
  return String((await ask(ingest_url, "/v1/enrol/challenge", {})).challenge);
}

async function ask(ingest_url: string, path: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(ingest_url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(enrol_wait_ms),
  });
  if (!response.ok) throw new Error(`ingest refused ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

/** Through the coordinator, which may be starting. */
const enrol_wait_ms = 20_000;

export function processEvent(at: number, facts: Partial<ProcessEvent>): ProcessEvent {
  return {
    at,
    pid: 4_000,
    parent_pid: 1,
    started_at: at,
    already_running: false,
    image: "/usr/bin/app",
    image_deleted: false,
    command_line: "/usr/bin/app",
    current_directory: "/",
    user: "app",
    parent_image: "/usr/lib/systemd/systemd",
    parent_command_line: "/sbin/init",
    parent_user: "root",
    parent_listens: [],
    ancestors: ["/sbin/init"],
    ...facts,
  };
}

export function connectionEvent(
  at: number,
  source_address: string,
  source_port: number,
  destination_address: string,
  destination_port: number,
): ConnectionEvent {
  return {
    at,
    opened_at: at,
    protocol: "tcp",
    side: "source",
    source_address,
    source_port,
    destination_address,
    destination_port,
    pid: 4_000,
    image: "/usr/bin/app",
    command_line: "/usr/bin/app",
    user: "app",
    ancestors: ["/sbin/init"],
  };
}

export function listenerEvent(at: number): ListenerEvent {
  return {
    at,
    protocol: "tcp",
    address: "0.0.0.0",
    port: 8_443,
    pid: 4_000,
    image: "/usr/bin/app",
    command_line: "/usr/bin/app",
    user: "app",
    application_protocol: "",
    channel: "tls",
    tls: null,
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
