import { interrupt } from "@assay/cli/interrupt";
import { fakeIo } from "./fake-io";

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

test("the first Ctrl-C asks, the second ends at once, and one press that comes twice is one", async () => {
  const io = fakeIo();
  const told: string[] = [];
  const ctrlC = interrupt(
    io,
    () => told.push("asked"),
    () => told.push("at once"),
  );
  expect(ctrlC.signal.aborted).toBe(false);
  io.interrupt();
  io.interrupt();
  await ctrlC.asked;
  expect(ctrlC.signal.aborted).toBe(true);
  expect(told).toEqual(["asked"]);
  jest.advanceTimersByTime(300);
  io.interrupt();
  expect(told).toEqual(["asked", "at once"]);
  ctrlC.close();
  io.interrupt();
  expect(told).toHaveLength(2);
});
