/**
 * The load, in a process of its own: plans all batches beforehand, so that making them takes nothing from what is measured; enrols the hosts;
 * then sends each batch when it is due, or as soon as the one before it is answered. Talks to its parent in messages (load.ts).
 */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { enrolHost } from "@assay/cli/scenarios/synthetic-host";
import { Codec, folderIds } from "@assay/schemas/codec";
import { closingBatch, hostId, type PlannedBatch, planHost } from "./life";
import type { FromLoad, LoadPlan, ToLoad } from "./load";

const retry_wait_ms = 250;
const enrolling_max = 16;
const progress_wait_ms = 500;
/** Twice what it takes on a slow machine. */
const planning_ms_per_event = 0.005;
const planning_spare_ms = 5_000;

const codec = new Codec(folderIds());
const sent_so_far = { batches: 0, attempts: 0, events: 0, late_ms_max: 0 };

if (require.main === module) {
  process.on("message", (message: ToLoad) => {
    if (message.type === "plan") void prepare(message.plan);
  });
  process.on("disconnect", () => process.exit(1));
}

async function prepare(plan: LoadPlan): Promise<void> {
  const numbers = Array.from({ length: plan.hosts }, (_, n) => n);
  const credentials = await enrolAll(plan, numbers);
  const events = (plan.hosts * plan.life.events_per_batch * plan.run_ms) / plan.life.batch_ms;
  const run_start = Date.now() + Math.ceil(events * planning_ms_per_event) + planning_spare_ms;
  const batches = numbers.map((n) => planHost(n, plan.life, run_start, plan.run_ms, codec));
  if (Date.now() > run_start) throw new Error(`planning took ${Date.now() - run_start} ms longer than there was time for`);
  tell({ type: "prepared", run_start, bytes: batches.flat().reduce((sum, b) => sum + b.wire.length, 0) });
  const agent = new Agent({ keepAlive: true, maxSockets: plan.hosts });
  const progress = setInterval(() => tell({ type: "progress", ...sent_so_far }), progress_wait_ms);
  await sleep(Math.max(0, run_start - Date.now()));
  await Promise.all(numbers.map((n) => runHost(n, batches[n] ?? [], credentials[n] ?? "", run_start, plan, agent)));
  clearInterval(progress);
  tell({ type: "progress", ...sent_so_far });
  tell({
    type: "sent",
    now: Date.now(),
    marked: Object.fromEntries(numbers.map((n) => [hostId(n), (batches[n] ?? []).flatMap((b) => b.marked_at)])),
  });
  await closeWindows(batches, credentials, run_start, plan, agent);
  tell({ type: "closed" });
  agent.destroy();
  process.disconnect();
}

async function runHost(
  n: number,
  batches: readonly PlannedBatch[],
  credential: string,
  run_start: number,
  plan: LoadPlan,
  agent: Agent,
): Promise<void> {
  for (const batch of batches) {
    const due_at = run_start + batch.due_ms;
    await sleep(Math.max(0, due_at - Date.now()));
    const now = Date.now();
    sent_so_far.late_ms_max = Math.max(sent_so_far.late_ms_max, now - due_at);
    await deliver(n, batch.wire, credential, plan, agent);
    sent_so_far.batches++;
    sent_so_far.events += batch.events;
  }
}

/** Tells emptily, past the lateness, until the last windows must have closed. */
async function closeWindows(
  batches: readonly (readonly PlannedBatch[])[],
  credentials: readonly string[],
  run_start: number,
  plan: LoadPlan,
  agent: Agent,
): Promise<void> {
  await sleep(plan.life.window_ms + plan.lateness_ms + 1_000);
  for (const [n, sent] of batches.entries()) {
    await deliver(n, closingBatch(n, run_start, sent.length + 1, Date.now(), codec), credentials[n] ?? "", plan, agent);
  }
}

async function deliver(n: number, wire: Buffer, credential: string, plan: LoadPlan, agent: Agent): Promise<void> {
  const url = plan.ingest_urls[n % plan.ingest_urls.length];
  for (;;) {
    sent_so_far.attempts++;
    const status = await post(`${url}/v1/telemetry`, wire, hostId(n), credential, agent).catch(() => undefined);
    if (status === 200) return;
    if (status !== undefined && status < 500 && status !== 429)
      throw new Error(`ingest refused a batch of ${hostId(n)}: ${status}`);
    await sleep(retry_wait_ms);
  }
}

function post(url: string, body: Buffer, host_id: string, credential: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${credential}`,
      "x-assay-host": host_id,
      "content-type": "application/octet-stream",
      "content-length": body.length,
    };
    const sent = request(url, { method: "POST", agent, headers, timeout: 30_000 }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
      response.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end(body);
  });
}

async function enrolAll(plan: LoadPlan, numbers: readonly number[]): Promise<string[]> {
  const credentials: string[] = [];
  const waiting = [...numbers];
  const enrolNext = async () => {
    for (let n = waiting.shift(); n !== undefined; n = waiting.shift()) {
      let credential: string | undefined;
      while (credential === undefined) {
        credential = await enrolHost(plan.ingest_urls[0] ?? "", plan.enrol_secret, hostId(n)).catch(() => undefined);
        if (credential === undefined) await sleep(retry_wait_ms);
      }
      credentials[n] = credential;
    }
  };
  await Promise.all(Array.from({ length: enrolling_max }, enrolNext));
  return credentials;
}

function tell(message: FromLoad): void {
  process.send?.(message);
}
