import { EventEmitter } from "node:events";
import { exitCodes, type HostedProcess, hostProcess } from "../src/host-process";
import { createLogger } from "../src/logger";
import type { RunningService } from "../src/service";

class FakeProcess extends EventEmitter {}

function given(service: Partial<RunningService> & { start?: (signal: AbortSignal) => Promise<RunningService> }) {
  const watched = new FakeProcess();
  const lines: Record<string, unknown>[] = [];
  const running: RunningService = {
    ready: () => ({ ready: true }),
    ended: service.ended ?? new Promise(() => undefined),
    stop: service.stop ?? (async () => undefined),
  };
  const code = hostProcess({
    name: "test",
    process: watched as unknown as HostedProcess,
    logger: createLogger({ service: "test", destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
    start: service.start ?? (async () => running),
    stop_wait_ms: 50,
    stop_wait_setting: "ASSAY_STOP_WAIT_MS",
  });
  return { watched, lines, code, running };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("hostProcess", () => {
  test("stops the service in order on a signal, and ends with 0", async () => {
    const stop = jest.fn(async () => undefined);
    const { watched, code } = given({ stop });
    await turn();
    watched.emit("SIGTERM", "SIGTERM");
    expect(await code).toBe(exitCodes.stopped);
    expect(stop).toHaveBeenCalledTimes(1);
    expect(watched.eventNames()).toEqual([]);
  });

  test("ends with its own code when the stop takes too long", async () => {
    const { watched, code, lines } = given({ stop: () => new Promise(() => undefined) });
    await turn();
    watched.emit("SIGINT", "SIGINT");
    expect(await code).toBe(exitCodes.stop_deadline_passed);
    expect(lines.at(-1)).toMatchObject({ stop_wait_ms: 50, setting: "ASSAY_STOP_WAIT_MS", level: "fatal" });
  });

  test("a second signal ends at once", async () => {
    const { watched, code } = given({ stop: () => new Promise(() => undefined) });
    await turn();
    watched.emit("SIGINT", "SIGINT");
    watched.emit("SIGINT", "SIGINT");
    expect(await code).toBe(130);
  });

  test("a service that can't go on is stopped, and the code is 1", async () => {
    const stop = jest.fn(async () => undefined);
    const { code, lines } = given({ stop, ended: Promise.reject(new Error("the store is gone")) });
    expect(await code).toBe(exitCodes.failed);
    expect(stop).toHaveBeenCalledTimes(1);
    expect(lines).toContainEqual(
      expect.objectContaining({ message: "can't go on", error: expect.objectContaining({ message: "the store is gone" }) }),
    );
  });

  test("a failed start ends with 1", async () => {
    const { code, lines } = given({ start: () => Promise.reject(new Error("the port is in use")) });
    expect(await code).toBe(exitCodes.failed);
    expect(lines.at(-1)).toMatchObject({ message: "could not start", level: "fatal" });
  });

  test("a signal during the start aborts it and isn't a failure", async () => {
    const { watched, code } = given({
      start: (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    await turn();
    watched.emit("SIGTERM", "SIGTERM");
    expect(await code).toBe(exitCodes.stopped);
  });

  test("a start that heeds no signal is given up at the deadline", async () => {
    const { watched, code } = given({ start: () => new Promise(() => undefined) });
    await turn();
    watched.emit("SIGTERM", "SIGTERM");
    expect(await code).toBe(exitCodes.stop_deadline_passed);
  });

  test.each(["uncaughtException", "unhandledRejection"])("%s is logged and ends with 1", async (event) => {
    const { watched, code, lines } = given({});
    await turn();
    watched.emit(event, new Error("a bug"));
    expect(await code).toBe(exitCodes.failed);
    expect(lines.at(-1)).toMatchObject({ level: "fatal", error: { message: "a bug" } });
  });
});

describe("createLogger", () => {
  test("names the service and cuts secrets", () => {
    const lines: string[] = [];
    const logger = createLogger({ service: "ingest", destination: { write: (line) => void lines.push(line) } });
    logger.info({ credential: "abc", request: { authorization: "Bearer abc" }, port: 1 }, "listening");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      service: "ingest",
      level: "info",
      message: "listening",
      credential: "[secret]",
      request: { authorization: "[secret]" },
      port: 1,
    });
  });
});
