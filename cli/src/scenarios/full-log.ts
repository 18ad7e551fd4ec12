/** A log without room: ingest says so, nothing ends, hosts keep what they have; with room again, all of it is delivered. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Codec } from "@assay/schemas/codec";
import { auditOf, checkAccount, checkStop, closing_wait_ms } from "./final-checks";
import { RawHost } from "./raw-host";
import { freePorts, RunningAssay, until } from "./running-assay";
import { seeded } from "./seeded";
import { SyntheticHost } from "./synthetic-host";
import { print, type Verdict } from "./verdict";

const ready_wait_ms = 90_000;
/** The smallest that the setting takes. */
const log_bytes_max = 33_554_432;
const fill_batches_max = 100;
/** Just below what the log takes as one record; the same text each time, so that windows stay small. */
const fill_events = 16;
const fill_text = "x".repeat(60_000);
const full_for_ms = 8_000;
const batch_wait_ms = 500;
const events_per_batch = 40;

export async function checkFullLog(data: string, codec: Codec, verdict: Verdict): Promise<void> {
  const ports = await freePorts();
  const small = new RunningAssay(data, ports, { ASSAY_LOG_MAX_BYTES: String(log_bytes_max) });
  const roomy = new RunningAssay(data, ports);
  const stopping = new AbortController();
  try {
    small.start();
    await small.ready(ready_wait_ms);
    const filler = new RawHost("filler", codec, small.ingest_url, small.enrolSecret());
    const host = new SyntheticHost({
      host_id: "beside-the-filler",
      address: "10.9.0.1",
      random: seeded(7),
      codec,
      ingest_url: small.ingest_url,
      enrol_secret: small.enrolSecret(),
      batch_wait_ms,
      events_per_batch,
    });
    const delivering = host.run(stopping.signal);
    delivering.catch(() => undefined); // awaited below
    await until(ready_wait_ms, "the host beside the filler delivered nothing", () => host.delivered().batches > 2);
    await filler.enrol();
    const refused = await fill(filler);
    verdict.expect(
      `a full log is answered with 507 log_full (${refused.status} ${refused.code})`,
      refused.status === 507 && refused.code === "log_full" && refused.retry_after_s > 0,
    );
    print(`        ${refused.message}`);
    verdict.expect(
      "the answer names the log, the limit and the setting, and says to keep the record",
      refused.message.includes(`ASSAY_LOG_MAX_BYTES=${log_bytes_max}`) && /keep the record/.test(refused.message),
    );
    const pids = small.pids();
    await sleep(full_for_ms / 2);
    const { batches } = host.delivered();
    await sleep(full_for_ms / 2);
    verdict.expect("hosts keep their batches meanwhile", host.delivered().batches === batches);
    const readiness = await fetch(`${small.metrics_url}/ready`);
    const why = await readiness.text();
    verdict.expect(`/ready says that the log is full (${readiness.status})`, readiness.status === 503 && /log is full/.test(why));
    verdict.expect("nothing ended because of it", pids.join() === small.pids().join());
    await checkStop(small, verdict);

    roomy.start();
    await roomy.ready(ready_wait_ms);
    await until(
      ready_wait_ms,
      "the filler's batch was not accepted",
      async () => (await filler.send(fillBatch(filler))).status === 200,
    );
    await until(ready_wait_ms, "the host beside the filler delivered no more", () => host.delivered().batches > batches);
    stopping.abort();
    await delivering;
    await sleep(closing_wait_ms);
    await host.finish();
    await filler.send(filler.batch([]));
    const delivered = new Map([
      ["filler", filler.delivered()],
      ["beside-the-filler", host.delivered()],
    ]);
    await sleep(settle_wait_ms);
    await checkStop(roomy, verdict);
    checkAccount(auditOf(data), delivered, verdict);
  } catch (error) {
    print(small.output());
    print(roomy.output());
    throw error;
  } finally {
    stopping.abort();
    for (const pid of [...small.pids(), ...roomy.pids()]) process.kill(pid, "SIGKILL");
  }
}

/** For the evaluator to write what the last batches closed. */
const settle_wait_ms = 4_000;

async function fill(filler: RawHost): ReturnType<RawHost["send"]> {
  for (let sent = 0; sent < fill_batches_max; sent++) {
    const answer = await filler.send(fillBatch(filler));
    if (answer.status !== 200) return answer;
  }
  throw new Error(`${fill_batches_max} batches did not fill a log of ${log_bytes_max} bytes`);
}

function fillBatch(filler: RawHost): ReturnType<RawHost["batch"]> {
  return filler.batch(Array(fill_events).fill({ command_line: fill_text }));
}
