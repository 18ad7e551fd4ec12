/**
 * Metrics across threads: a service's thread answers, the thread that serves /metrics asks. Messages carry a tag of their own, so
 * the port may carry others too.
 */
import type { MessagePort, Worker } from "node:worker_threads";
import type { MetricsSnapshot, ServiceMetrics } from "./metrics";

type Port = Pick<MessagePort | Worker, "on" | "off" | "postMessage">;

interface Request {
  readonly tag: "assay_metrics_request";
  readonly id: number;
}
type Response = { readonly tag: "assay_metrics"; readonly id: number } & (
  | { readonly snapshot: MetricsSnapshot }
  | { readonly failed: string }
);

/** Answers until the returned function is called. */
export function answerMetrics(port: Port, metrics: ServiceMetrics): () => void {
  const onMessage = (message: unknown) => {
    if (!isRequest(message)) return;
    const { id } = message;
    metrics.snapshot().then(
      (snapshot) => port.postMessage({ tag: "assay_metrics", id, snapshot } satisfies Response),
      (error: unknown) => port.postMessage({ tag: "assay_metrics", id, failed: String(error) } satisfies Response),
    );
  };
  port.on("message", onMessage);
  return () => void port.off("message", onMessage);
}

/** Rejects when no answer came within wait_ms. */
export function askMetrics(port: Port, wait_ms: number): Promise<MetricsSnapshot> {
  const id = nextId++;
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      port.off("message", onMessage);
    };
    const timer = setTimeout(() => {
      settle();
      reject(new Error(`a service's thread told no metrics within ${wait_ms} ms`));
    }, wait_ms);
    const onMessage = (message: unknown) => {
      if (!isResponse(message) || message.id !== id) return;
      settle();
      if ("snapshot" in message) resolve(message.snapshot);
      else reject(new Error(`a service's thread could not collect its metrics: ${message.failed}`));
    };
    port.on("message", onMessage);
    port.postMessage({ tag: "assay_metrics_request", id } satisfies Request);
  });
}

let nextId = 1;

function isRequest(message: unknown): message is Request {
  return tagOf(message) === "assay_metrics_request";
}
function isResponse(message: unknown): message is Response {
  return tagOf(message) === "assay_metrics";
}
function tagOf(message: unknown): unknown {
  return typeof message === "object" && message !== null && "tag" in message ? message.tag : undefined;
}
