import { DiskFullError, isOutOfRoom, saysOutOfRoom } from "../src/disk-full";
import { afterDeath, type Deaths, healthy_ms, no_deaths, restarts_max } from "../src/engine-restarts";

const crash = { disk_full: false, ready_ms: 0 };
const without_room = { disk_full: true, ready_ms: 0 };

function deaths(list: readonly (typeof crash)[], from: Deaths = no_deaths) {
  const pauses: (number | "no more")[] = [];
  let current = from;
  for (const death of list) {
    const next = afterDeath(current, death);
    pauses.push(next?.pause_ms ?? "no more");
    if (next) current = next.deaths;
  }
  return { pauses, current };
}

test("an engine that crashes is started again with growing pauses, and at last no more", () => {
  const { pauses } = deaths(Array(restarts_max + 1).fill(crash));
  expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, "no more"]);
});

test("on a full disk it is started again without limit, and that counts for nothing", () => {
  const { pauses, current } = deaths([...Array(restarts_max).fill(crash), ...Array(100).fill(without_room)]);
  expect(pauses.slice(-90)).toEqual(Array(90).fill(10_000));
  expect(current.in_row).toBe(restarts_max);
  expect(afterDeath(current, crash)).toBeUndefined();
});

test("deaths are in a row unless it ran well between them", () => {
  const { current } = deaths(Array(restarts_max).fill(crash));
  expect(afterDeath(current, { disk_full: false, ready_ms: healthy_ms - 1 })).toBeUndefined();
  expect(afterDeath(current, { disk_full: false, ready_ms: healthy_ms })).toEqual({
    pause_ms: 100,
    deaths: { in_row: 1, pause_ms: 200 },
  });
});

test("want of room is told by the system's codes and by ClickHouse's words", () => {
  expect(isOutOfRoom(Object.assign(new Error("write"), { code: "ENOSPC" }))).toBe(true);
  expect(isOutOfRoom(Object.assign(new Error("write"), { code: "EDQUOT" }))).toBe(true);
  expect(isOutOfRoom(Object.assign(new Error("write"), { code: "EACCES" }))).toBe(false);
  expect(isOutOfRoom(new DiskFullError("full"))).toBe(false);
  expect(saysOutOfRoom("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)")).toBe(true);
  expect(saysOutOfRoom("Cannot write to file, errno: 28, strerror: No space left on device.")).toBe(true);
  expect(saysOutOfRoom("Address already in use")).toBe(false);
});
