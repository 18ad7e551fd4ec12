/** Host windows against a plain sort-then-group of the same events, under any interleaving, repetition and restart. */
import type { HostWindow, TelemetryBatch } from "@assay/schemas/generated/types";
import fc from "fast-check";
import { decodeTimes } from "../src/host-windows/event-times";
import { batch, Partition, processEvent } from "./given";

const settings = { window_ms: 1_000, lateness_ms: 300 };

interface Script {
  /** Per host, its batches in the order in which they leave. */
  readonly hosts: readonly (readonly TelemetryBatch[])[];
  /** Which host speaks next; a negative number repeats the last batch of host −n − 1. */
  readonly turns: readonly number[];
  readonly restarts: readonly number[];
}

const script: fc.Arbitrary<Script> = fc
  .record({
    hosts: fc.array(
      fc.array(fc.array(fc.tuple(fc.integer({ min: -3_000, max: 400 }), fc.constantFrom("a", "b", "c")), { maxLength: 6 }), {
        minLength: 1,
        maxLength: 12,
      }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    steps: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 12, maxLength: 12 }),
    turns: fc.array(fc.integer({ min: -4, max: 3 }), { maxLength: 60 }),
    restarts: fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 4 }),
  })
  .map(({ hosts, steps, turns, restarts }) => ({
    hosts: hosts.map((batches, h) => {
      let through = 10_000;
      return batches.map((events, i) => {
        through += steps[i] ?? 0;
        const processes = events.map(([ago, image]) => processEvent(through + ago, { image }));
        return batch({
          host_id: `h${h}`,
          seq: i + 1,
          observed_from: 10_000,
          complete_through: through,
          sent_at: through,
          processes,
        });
      });
    }),
    turns,
    restarts,
  }));

function run({ hosts, turns, restarts }: Script): Partition & { accepted: number } {
  const partition = Object.assign(new Partition(settings), { accepted: 0 });
  const next = hosts.map(() => 0);
  const speak = (h: number) => {
    const told = hosts[h]?.[next[h] ?? 0];
    if (!told) return;
    next[h] = (next[h] ?? 0) + 1;
    partition.accepted += told.processes.length;
    partition.tell(told);
  };
  const order = [...turns, ...hosts.flatMap((batches, h) => batches.map(() => h))];
  order.forEach((turn, i) => {
    if (restarts.includes(i)) partition.restart();
    if (turn >= 0) speak(turn % hosts.length);
    else {
      const h = (-turn - 1) % hosts.length;
      const last = hosts[h]?.[(next[h] ?? 0) - 1];
      if (!last) return;
      partition.accepted += last.processes.length;
      partition.tell(last);
    }
  });
  return partition;
}

/** (host, window, image) → ascending event times. */
function grouped(times: Iterable<readonly [host: string, image: string, at: number]>): Record<string, number[]> {
  const groups: Record<string, number[]> = {};
  for (const [host, image, at] of times) {
    const key = `${host} ${Math.floor(at / settings.window_ms) * settings.window_ms} ${image}`;
    groups[key] = [...(groups[key] ?? []), at].sort((a, b) => a - b);
  }
  return groups;
}

function* timesOf(parts: readonly HostWindow[]): Generator<readonly [string, string, number]> {
  for (const part of parts) {
    for (const p of part.processes) {
      for (const at of decodeTimes(p.times, part.window_start)) yield [part.host_id, p.image, at];
    }
  }
}

function told(scripted: Script): [string, string, number][] {
  return scripted.hosts.flat().flatMap((b) => b.processes.map((p): [string, string, number] => [b.host_id, p.image, p.at]));
}

test("every event is in a window or a supplement of the right time, exactly once, or in a window still open", () => {
  fc.assert(
    fc.property(script, (scripted) => {
      expect(grouped(shown(run(scripted)))).toEqual(grouped(told(scripted)));
    }),
    { numRuns: 300 },
  );
});

test("so is every event of batches that come after later ones, in any order and repeated, once their host speaks again", () => {
  const withheld = fc.array(fc.nat(10), { maxLength: 12 });
  fc.assert(
    fc.property(script, withheld, fc.array(fc.nat(30), { maxLength: 30 }), (scripted, held, order) => {
      const partition = new Partition(settings);
      const isHeld = (b: TelemetryBatch, last: number) => b.seq !== last && held.includes(b.seq);
      const late = scripted.hosts.flatMap((batches) => batches.filter((b) => isHeld(b, batches.length)));
      const last = scripted.hosts.flatMap((batches) => batches.slice(-1));
      for (const b of scripted.hosts.flat()) if (!late.includes(b)) partition.tell(b);
      for (const i of order) {
        const b = late[i];
        if (b) partition.tell(b);
        partition.restart();
      }
      for (const b of late) partition.tell(b);
      for (const b of last) {
        const through = b.complete_through + 2_000;
        partition.tell({ ...b, seq: b.seq + 1, processes: [], complete_through: through, sent_at: through });
      }
      expect(grouped(shown(partition))).toEqual(grouped(told(scripted)));
      const parts = partition.windows();
      for (const [h] of scripted.hosts.entries()) {
        const ids = parts.filter((p) => p.host_id === `h${h}`).map((p) => [p.seq_to, p.window_start] as const);
        expect(ids).toEqual(ids.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]));
      }
    }),
    { numRuns: 200 },
  );
});

/** In parts, and in windows that are open. */
function shown(partition: Partition): [string, string, number][] {
  const open = [...partition.state.hosts.values()].flatMap((h) =>
    Object.values(h.open).flatMap((w) =>
      [...w.processes.values()].flatMap((p) =>
        p.times.offsets.map((o): [string, string, number] => [h.host_id, p.event.image, w.start + o]),
      ),
    ),
  );
  return [...[...timesOf(partition.windows())].map(([host, image, at]): [string, string, number] => [host, image, at]), ...open];
}

test("a host's parts don't depend on other hosts, on repeated batches, or on restarts", () => {
  fc.assert(
    fc.property(script, (scripted) => {
      const undisturbed = run({ ...scripted, turns: [], restarts: [] }).windows();
      const parts = run(scripted).windows();
      const byHost = (all: readonly HostWindow[], h: number) =>
        all.filter((p) => p.host_id === `h${h}`).map(({ counts: _, ...part }) => part);
      for (const h of scripted.hosts.keys()) expect(byHost(parts, h)).toEqual(byHost(undisturbed, h));
    }),
    { numRuns: 300 },
  );
});

test("accepted = windowed + duplicates + open, per host", () => {
  fc.assert(
    fc.property(script, (scripted) => {
      const partition = run(scripted);
      const windowed = partition.windows().reduce((n, p) => n + p.counts.reduce((m, c) => m + c.windowed + c.duplicates, 0), 0);
      let waiting = 0;
      for (const host of partition.state.hosts.values()) {
        waiting += Object.values(host.duplicates).reduce((a, b) => a + b, 0);
        for (const w of Object.values(host.open)) waiting += w.windowed.processes;
      }
      expect(windowed + waiting).toBe(partition.accepted);
      const closedOnce = partition.windows().filter((p) => p.closed_by !== "supplement");
      expect(new Set(closedOnce.map((p) => `${p.host_id} ${p.window_start}`)).size).toBe(closedOnce.length);
    }),
    { numRuns: 200 },
  );
});
