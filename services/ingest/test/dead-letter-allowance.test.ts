import { DeadLetterAllowance } from "@assay/ingest/dead-letter-allowance";
import {
  dead_letter_hosts_max,
  host_dead_letter_bytes_per_minute_max,
  host_dead_letters_per_minute_max,
} from "@assay/ingest/settings";
import { topics } from "@assay/schemas/topics";
import { asHost, type GivenIngest, givenIngest, host_id, telemetryWire } from "./given-ingest";

const minute_ms = 60_000;

describe("a host's allowance of dead letters", () => {
  function allowing() {
    const warned: object[] = [];
    const clock = { now: 1_000 };
    const allowance = new DeadLetterAllowance({ warn: (fields: object) => warned.push(fields) } as never, () => clock.now);
    const take = (count: number, bytes = 1, host = "h") =>
      Array.from({ length: count }, () => allowance.take(host, bytes)).filter((kept) => kept).length;
    return { take, clock, warned };
  }

  test("is so many at once, then as many as time has filled in again, and no more than all", () => {
    const { take, clock } = allowing();
    expect(take(500)).toBe(host_dead_letters_per_minute_max);
    clock.now += minute_ms / 4;
    expect(take(500)).toBe(host_dead_letters_per_minute_max / 4);
    clock.now += 100 * minute_ms;
    expect(take(500)).toBe(host_dead_letters_per_minute_max);
  });

  test("is of bytes too: what is small may still be kept when what is large may not", () => {
    const { take, clock } = allowing();
    const large = host_dead_letter_bytes_per_minute_max / 4 + 1;
    expect(take(10, large)).toBe(3);
    expect(take(10, 10)).toBe(10);
    clock.now += minute_ms / 2;
    expect(take(10, large)).toBe(2);
  });

  test("is each host's own, and told once a minute where it is used up", () => {
    const { take, clock, warned } = allowing();
    take(500, 1, "broken");
    expect(take(1, 1, "other")).toBe(1);
    expect(warned).toEqual([expect.objectContaining({ host_id: "broken", host_dead_letters_per_minute_max })]);
    clock.now += minute_ms;
    take(500, 1, "broken");
    expect(warned).toHaveLength(2);
  });

  test("is held for a bounded number of hosts; one that has all of it again makes room", () => {
    const { take, clock } = allowing();
    for (let i = 0; i < dead_letter_hosts_max; i++) take(1, 1, `host-${i}`);
    expect(take(1, 1, "one more")).toBe(0);
    clock.now += minute_ms;
    expect(take(1, 1, "one more")).toBe(1);
  });
});

describe("a host that sends what can't be used, without end", () => {
  let ingest: GivenIngest;
  beforeEach(async () => {
    ingest = await givenIngest();
  });
  afterEach(() => ingest.stop());

  test("is refused with the same reason, and what isn't kept of it is counted; nothing of it is accepted", async () => {
    const sent = host_dead_letters_per_minute_max + 15;
    const answers = [];
    for (let i = 0; i < sent; i++) answers.push(await ingest.post("/v1/telemetry", Buffer.from("rubbish")));
    const [first] = answers;
    expect(first).toMatchObject({ status: 400, body: { error: { code: "not_wire_format" } } });
    expect(answers).toEqual(Array(sent).fill(first));
    const kept = (await ingest.deadLetters()).length;
    const not_kept = await ingest.metric('assay_ingest_dead_letters_not_kept_total{reason="not_wire_format"}');
    // Time passes meanwhile, and fills the allowance by a few.
    expect(kept).toBeGreaterThanOrEqual(host_dead_letters_per_minute_max);
    expect(kept).toBeLessThan(sent);
    expect(kept + (not_kept ?? 0)).toBe(sent);
    expect(await ingest.metric('assay_ingest_refused_total{reason="not_wire_format"}')).toBe(sent);
    expect(await ingest.metric('assay_ingest_dead_letters_not_kept_total{reason="out_of_bounds"}')).toBe(0);
    expect(await ingest.records(topics.telemetry)).toEqual([]);
    expect(await ingest.metric('assay_ingest_batches_total{type="telemetry"}')).toBe(0);
    expect((await ingest.post("/v1/telemetry", telemetryWire())).status).toBe(200);
  });

  test("takes nothing of another host's allowance, and wrong credentials keep none at all", async () => {
    ingest.agents.set("host-2", "d".repeat(43));
    for (let i = 0; i < host_dead_letters_per_minute_max + 15; i++) await ingest.post("/v1/telemetry", "rubbish");
    const before = (await ingest.deadLetters()).length;
    for (let i = 0; i < 5; i++) await ingest.post("/v1/telemetry", "rubbish", asHost(host_id, "e".repeat(43)));
    expect(await ingest.deadLetters()).toHaveLength(before);
    await ingest.post("/v1/telemetry", "rubbish", asHost("host-2", "d".repeat(43)));
    expect((await ingest.deadLetters()).filter((letter) => letter.host_id === "host-2")).toHaveLength(1);
  });
});
