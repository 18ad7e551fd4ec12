import {
  afterEnd,
  healthy_ms,
  no_restarts,
  type Restarts,
  restarts_max,
  restarts_window_ms,
} from "@assay/cli/embedded/restart-decision";

const broken = { disk_full: false, ran_ms: 100 };
const without_room = { disk_full: true, ran_ms: 100 };

/** Ends one after another, a second apart; the waits, and what stands after them. */
function ends(list: readonly (typeof broken)[], from: Restarts = no_restarts, at = 0) {
  const waits: (number | "no more")[] = [];
  let restarts = from;
  for (const [i, end] of list.entries()) {
    const next = afterEnd(restarts, end, at + i * 1_000);
    waits.push(next?.wait_ms ?? "no more");
    if (next) restarts = next.restarts;
  }
  return { waits, restarts };
}

test("a child that ends by itself is started again with growing waits, and at last no more", () => {
  const { waits } = ends(Array(restarts_max + 1).fill(broken));
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000, 15_000, "no more"]);
});

test("ends count for a time only", () => {
  const { restarts } = ends(Array(restarts_max).fill(broken));
  expect(afterEnd(restarts, broken, restarts_window_ms - 1)).toBeUndefined();
  expect(afterEnd(restarts, broken, restarts_window_ms)?.wait_ms).toBe(15_000);
});

test("without room on the disk it is started again without limit, with growing waits", () => {
  const { waits } = ends(Array(restarts_max * 20).fill(without_room));
  expect(waits.slice(0, 7)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  expect(new Set(waits.slice(6))).toEqual(new Set([15_000]));
});

test("ends for want of room don't count towards the limit of others, and others end their row", () => {
  const before = ends(Array(restarts_max - 1).fill(broken)).restarts;
  const full = ends(Array(50).fill(without_room), before, 20_000).restarts;
  expect(full.without_room).toBe(50);
  const last = afterEnd(full, broken, 80_000);
  expect(last).toMatchObject({ wait_ms: 15_000, restarts: { without_room: 0 } });
  expect(last && afterEnd(last.restarts, broken, 81_000)).toBeUndefined();
});

test("waits begin small again after it ran well", () => {
  const { restarts } = ends(Array(8).fill(without_room));
  expect(afterEnd(restarts, { disk_full: true, ran_ms: healthy_ms }, 60_000)).toMatchObject({
    wait_ms: 500,
    restarts: { without_room: 1 },
  });
});
