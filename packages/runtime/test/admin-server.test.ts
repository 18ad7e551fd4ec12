import { createServer } from "node:http";
import { MessageChannel } from "node:worker_threads";
import { Counter } from "prom-client";
import { startAdminServer } from "../src/admin-server";
import { closeServer, listen } from "../src/listen";
import { createMetrics, mergeMetrics, type ServiceMetrics } from "../src/metrics";
import { answerMetrics, askMetrics } from "../src/metrics-port";
import type { Readiness } from "../src/service";

describe("the admin server", () => {
  test("tells live, ready with reasons, and metrics", async () => {
    let ingest: Readiness = { ready: true };
    const server = await startAdminServer({
      host: "127.0.0.1",
      port: 0,
      setting: "ASSAY_METRICS_PORT",
      services: () => [
        { name: "ingest", ready: () => ingest },
        { name: "evaluator", ready: async () => ({ ready: true }) },
      ],
      metrics: async () => "assay_ingest_batches_total 1\n",
    });
    const get = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
    try {
      expect((await get("/live")).status).toBe(200);
      expect((await get("/ready")).status).toBe(200);
      ingest = { ready: false, reason: "the log is full" };
      const ready = await get("/ready");
      expect(ready.status).toBe(503);
      expect(await ready.json()).toEqual({
        ready: false,
        services: { ingest: { ready: false, reason: "the log is full" }, evaluator: { ready: true } },
      });
      expect(await (await get("/metrics")).text()).toBe("assay_ingest_batches_total 1\n");
      expect((await get("/other")).status).toBe(404);
    } finally {
      await server.stop();
    }
  });

  test("a service that throws is not ready", async () => {
    const server = await startAdminServer({
      host: "127.0.0.1",
      port: 0,
      setting: "ASSAY_METRICS_PORT",
      services: () => [{ name: "ingest", ready: () => Promise.reject(new Error("its thread ended")) }],
      metrics: async () => "",
    });
    try {
      const ready = await fetch(`http://127.0.0.1:${server.port}/ready`);
      expect([ready.status, await ready.json()]).toEqual([
        503,
        { ready: false, services: { ingest: { ready: false, reason: "its thread ended" } } },
      ]);
    } finally {
      await server.stop();
    }
  });

  test("a port in use is an error that names the port and the setting", async () => {
    const other = createServer();
    const port = await listen(other, { host: "127.0.0.1", port: 0, setting: "none" });
    const starting = startAdminServer({
      host: "127.0.0.1",
      port,
      setting: "ASSAY_METRICS_PORT",
      services: () => [],
      metrics: async () => "",
    });
    await expect(starting).rejects.toThrow(`can't listen on 127.0.0.1 port ${port}: the port is in use (ASSAY_METRICS_PORT)`);
    await closeServer(other, 100);
  });
});

describe("closeServer", () => {
  test("lets a request in hand finish, and doesn't wait for its connection to be given up", async () => {
    const server = createServer((_, response) => setTimeout(() => response.end("done"), 100));
    server.keepAliveTimeout = 60_000;
    const port = await listen(server, { host: "127.0.0.1", port: 0, setting: "none" });
    const answer = fetch(`http://127.0.0.1:${port}/`).then((response) => response.text());
    await new Promise((resolve) => server.once("request", resolve));
    const started = performance.now();
    await closeServer(server, 10_000);
    expect(await answer).toBe("done");
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test("cuts a request that takes too long", async () => {
    const server = createServer(() => undefined);
    const port = await listen(server, { host: "127.0.0.1", port: 0, setting: "none" });
    const answer = fetch(`http://127.0.0.1:${port}/`);
    await new Promise((resolve) => server.once("request", resolve));
    await Promise.all([closeServer(server, 50), expect(answer).rejects.toThrow()]);
  });
});

describe("metrics", () => {
  let ingest: ServiceMetrics;
  let evaluator: ServiceMetrics;
  beforeEach(() => {
    ingest = createMetrics("ingest");
    evaluator = createMetrics("report-api", { process_metrics: true });
  });
  afterEach(() => {
    ingest.stop();
    evaluator.stop();
  });

  test("of several registries merge, by way of a port", async () => {
    const batches = new Counter({ name: `${ingest.prefix}batches_total`, help: "Batches.", registers: [ingest.registry] });
    batches.inc(3);
    const channel = new MessageChannel();
    const stop = answerMetrics(channel.port1, ingest);
    const merged = await mergeMetrics([await askMetrics(channel.port2, 1_000), await evaluator.snapshot()]);
    stop();
    channel.port1.close();
    expect(merged).toContain("assay_ingest_batches_total 3");
    expect(merged).toMatch(/assay_report_api_process_resident_memory_bytes \d/);
    expect(merged).toMatch(/assay_report_api_event_loop_delay_seconds\{quantile="0.99"\} \d/);
  });

  test("that nobody tells are an error in time", async () => {
    const channel = new MessageChannel();
    await expect(askMetrics(channel.port2, 20)).rejects.toThrow("within 20 ms");
    channel.port1.close();
  });

  test("show how long the event loop was held", async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const until = performance.now() + 120;
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const text = await ingest.registry.metrics();
    const held = Number(/event_loop_delay_seconds\{quantile="max"\} (\S+)/.exec(text)?.[1]);
    expect(held).toBeGreaterThan(0.1);
    expect(held).toBeLessThan(5);
  });
});
