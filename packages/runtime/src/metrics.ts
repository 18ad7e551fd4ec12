/**
 * Metrics of one service: a registry of its own (nothing global), with the event loop's delay in it. The services of a process may
 * run in worker threads, so their metrics are asked for over a MessagePort (metrics-port.ts) and merged here.
 */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "prom-client";

/** What a registry holds, as plain data that may cross threads. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[];

export interface ServiceMetrics {
  /** The service's own metrics register here, and stand in its metrics.ts. */
  readonly registry: Registry;
  /** assay_<service>_: what their names begin with. */
  readonly prefix: string;
  snapshot(): Promise<MetricsSnapshot>;
  /** Ends the measuring. */
  stop(): void;
}

export interface MetricsOptions {
  /** Memory, CPU, handles and garbage collection of the whole process: for one registry per process at most. */
  readonly process_metrics?: boolean;
}

export function createMetrics(service: string, options: MetricsOptions = {}): ServiceMetrics {
  const registry = new Registry();
  const prefix = `assay_${service.replaceAll("-", "_")}_`;
  if (options.process_metrics) collectDefaultMetrics({ register: registry, prefix });
  const stop = measureEventLoop(registry, prefix);
  measureThread(registry, prefix);
  return { registry, prefix, snapshot: () => registry.getMetricsAsJSON(), stop };
}

/** Prometheus text of several registries; metrics of one name and labels are added up, or as their aggregator says. */
export async function mergeMetrics(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate(snapshots as MetricObjectWithValues<MetricValue<string>>[][]).metrics();
}

export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE;

/** How often the loop's delay is sampled; a sample is the time between two ticks, so this much of it is no delay. */
const sample_ms = 10;
/** A reading covers at least this long, so that two readers don't take each other's maxima away. */
const interval_ms = 10_000;

function measureEventLoop(registry: Registry, prefix: string): () => void {
  const delay = monitorEventLoopDelay({ resolution: sample_ms });
  delay.enable();
  let since = performance.now();
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - sample_ms / 1e3);
  new Gauge({
    name: `${prefix}event_loop_delay_seconds`,
    help: "How late the event loop was, since the reading that is at least 10 s old.",
    labelNames: ["quantile"],
    registers: [registry],
    aggregator: "max",
    collect() {
      const measured = delay.count > 0;
      this.set({ quantile: "0.5" }, measured ? seconds(delay.percentile(50)) : 0);
      this.set({ quantile: "0.99" }, measured ? seconds(delay.percentile(99)) : 0);
      this.set({ quantile: "max" }, measured ? seconds(delay.max) : 0);
      if (performance.now() - since < interval_ms) return;
      delay.reset();
      since = performance.now();
    },
  });
  return () => delay.disable();
}

/** Of the service's own thread: where several services share a process, the process's time says nothing of each. Linux only. */
function measureThread(registry: Registry, prefix: string): void {
  if (threadCpuSeconds() === undefined) return;
  new Counter({
    name: `${prefix}thread_cpu_seconds_total`,
    help: "User and system CPU time of the thread that runs the service.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(threadCpuSeconds() ?? 0);
    },
  });
}

/** The kernel's unit of CPU time in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const ticks_per_second = 100;

/** Of the calling thread, by proc(5); undefined where there is no such file. */
function threadCpuSeconds(): number | undefined {
  try {
    const stat = readFileSync("/proc/thread-self/stat", "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticks_per_second;
  } catch {
    return undefined;
  }
}
