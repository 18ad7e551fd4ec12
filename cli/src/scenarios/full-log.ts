/** A log without room: ingest says so, nothing ends, hosts keep what they have; with room again, all of it is delivered. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Codec } from "@assay/schemas/codec";
import { auditOf, checkAccount, checkStop, closing_wait_ms } from "./final-checks";
import { type IngestAnswer, RawHost } from "./raw-host";
import { freePorts, RunningAssay, until } from "./running-assay";
import { seeded } from "./seeded";
import { SyntheticHost } from "./synthetic-host";
import { print, type Verdict } from "./verdict";

const ready_wait_ms = 90_000;
/** The smallest that the setting takes. */
const log_bytes_max = 33_554_432;
const fill_batches_max = 100;
/**
 * The first is just below what the log takes as one record, the last smaller than what any host sends: then there is room for none. The
 * same texts each time, so that windows stay small.
 */
const fill_bytes = [960_000, 240_000, 60_000, 15_000, 4_000, 1_000, 100];
const text_bytes_max = 60_000;
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
    print(`        ${refused.message}`);
    verdict.expect(
      `a full log is answered with 507 log_full (${refused.status} ${refused.code})`,
      refused.status === 507 && refused.code === "log_full" && refused.retry_after_s > 0,
    );
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
      async () => (await filler.send(fillBatch(filler, fill_bytes[0] ?? 0))).status === 200,
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

/** The answer to a batch for which there is no room any more, however small. */
async function fill(filler: RawHost): Promise<IngestAnswer> {
  let refused: IngestAnswer | undefined;
  let sent = 0;
  for (const bytes of fill_bytes) {
    do {
      if (++sent > fill_batches_max) throw new Error(`${fill_batches_max} batches did not fill a log of ${log_bytes_max} bytes`);
      const answer = await filler.send(fillBatch(filler, bytes));
      refused = answer.status === 200 ? undefined : answer;
    } while (refused === undefined);
  }
  if (refused === undefined) throw new Error("nothing was refused");
  return refused;
}

function fillBatch(filler: RawHost, bytes: number): ReturnType<RawHost["batch"]> {
  const texts = Array.from({ length: Math.ceil(bytes / text_bytes_max) }, () => "x".repeat(Math.min(bytes, text_bytes_max)));
  return filler.batch(texts.map((command_line) => ({ command_line })));
}
