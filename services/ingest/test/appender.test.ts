import { Appender } from "@assay/ingest/appender";
import type { Appended, Log, NewRecord } from "@assay/stream/log";

const record: NewRecord = { topic: "assay.telemetry", key: "h", value: Buffer.from("x") };
const logger = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };

function appenderOn(append: () => Promise<readonly Appended[]>, wait_ms_max: number): Appender {
  const metrics = { append: { startTimer: () => () => 0 } };
  return new Appender({ append } as unknown as Log, metrics as never, logger as never, wait_ms_max);
}

it("sends an agent away when the log doesn't answer in time, says so at /ready, and is ready again once it does", async () => {
  let answer: (() => void) | undefined;
  const appender = appenderOn(() => new Promise((resolve) => (answer = () => resolve([{ partition: 0, offset: 0 }]))), 20);
  expect(await appender.append(record)).toMatchObject({
    status: 503,
    body: { error: { code: "append_failed" } },
    retry_after_s: 5,
  });
  expect(appender.ready()).toEqual({ ready: false, reason: expect.stringContaining("no answer within 20 ms") });
  const appended = appender.append(record);
  answer?.();
  expect(await appended).toBe("durable");
  expect(appender.ready()).toEqual({ ready: true });
});

it("bears a log that fails after the agent was sent away", async () => {
  let fail: ((error: Error) => void) | undefined;
  const appender = appenderOn(() => new Promise((_, reject) => (fail = reject)), 5);
  expect(await appender.append(record)).toMatchObject({ status: 503 });
  fail?.(new Error("away"));
  await new Promise((resolve) => setImmediate(resolve));
});
