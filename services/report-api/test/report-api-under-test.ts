/** The report API over a real engine and real HTTP, with control in memory; endAll leaves nothing running. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandBody } from "@assay/control/commands";
import type { Answer, EntityKind, EntityTypes } from "@assay/control/entities";
import type { Versioned } from "@assay/control/follow";
import { createLogger } from "@assay/runtime/logger";
import { createMetrics, type ServiceMetrics } from "@assay/runtime/metrics";
import { connectStore, type Store } from "@assay/store/client";
import { type Engine, startEngine } from "@assay/store/engine";
import { migrate } from "@assay/store/migrate";
import type { Control, ControlReader } from "../src/control";
import type { ReportApiSettings } from "../src/settings";
import { type RunningReportApi, startReportApi } from "../src/start-report-api";

export class TestEngine {
  private constructor(
    private readonly engine: Engine,
    private readonly directory: string,
    readonly store: Store,
  ) {}

  static async start(): Promise<TestEngine> {
    const directory = mkdtempSync(join(tmpdir(), "assay-report-api-"));
    const quiet = () => undefined;
    const engine = await startEngine({ directory, logger: { info: quiet, warn: quiet, error: quiet } });
    const store = connectStore({ url: engine.url, username: engine.username, password: engine.password });
    await migrate(store);
    return new TestEngine(engine, directory, store);
  }

  async stop(): Promise<void> {
    await this.store.close();
    await this.engine.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Holds entities, and answers commands as the coordinator does. */
export class TestControl implements Control {
  readonly asked: { body: CommandBody; by: string }[] = [];
  /** Given instead of carrying a command out. */
  refusal: Answer | Error | undefined;
  private readonly entities = new Map<EntityKind, Map<string, Versioned<EntityTypes[EntityKind]>>>();

  put<K extends EntityKind>(kind: K, id: string, value: EntityTypes[K], effective_from = 0): number {
    const byId = this.entities.get(kind) ?? new Map<string, Versioned<EntityTypes[EntityKind]>>();
    this.entities.set(kind, byId);
    const version = (byId.get(id)?.version ?? 0) + 1;
    byId.set(id, { id, version, at: effective_from, effective_from, value });
    return version;
  }

  readonly view: ControlReader = {
    all: <K extends EntityKind>(kind: K) => [...(this.entities.get(kind)?.values() ?? [])] as Versioned<EntityTypes[K]>[],
    latest: <K extends EntityKind>(kind: K, id: string) =>
      this.entities.get(kind)?.get(id) as Versioned<EntityTypes[K]> | undefined,
    versionAt: <K extends EntityKind>(kind: K, id: string) =>
      this.entities.get(kind)?.get(id) as Versioned<EntityTypes[K]> | undefined,
    refresh: async () => undefined,
  };

  async ask(body: CommandBody, by: string): Promise<Answer> {
    this.asked.push({ body, by });
    if (this.refusal instanceof Error) throw this.refusal;
    if (this.refusal) return this.refusal;
    switch (body.type) {
      case "put_application":
        return this.change("application", body.id, body.expected_version, body.application);
      case "put_template":
        return this.change("template", body.id, body.expected_version, body.template);
      case "start_assessment": {
        const template = this.view.latest("template", body.template_id);
        if (!template) return { result: "rejected", reason: "not_found", detail: `there is no template ${body.template_id}` };
        const { application_id, packages } = template.value;
        return this.change("assessment", body.id, 0, assessment({ template_id: body.template_id, application_id, packages }));
      }
      case "stop_assessment": {
        const running = this.view.latest("assessment", body.id);
        if (!running) return { result: "rejected", reason: "not_found", detail: `there is no assessment ${body.id}` };
        const state = body.evaluate ? "collected" : "cancelled";
        return this.change("assessment", body.id, running.version, { ...running.value, state });
      }
      default:
        throw new Error(`the API does not ask for ${body.type}`);
    }
  }

  private change<K extends EntityKind>(kind: K, id: string, expected: number, value: EntityTypes[K]): Answer {
    const current = this.view.latest(kind, id)?.version ?? 0;
    if (current !== expected) {
      return {
        result: "rejected",
        reason: "version_conflict",
        detail: `${kind} ${id} is at version ${current}, not ${expected}`,
      };
    }
    return { result: "accepted", kind, id, version: this.put(kind, id, value) };
  }
}

export function assessment(of: Partial<EntityTypes["assessment"]>): EntityTypes["assessment"] {
  return {
    template_id: "template",
    application_id: "shop",
    packages: [],
    state: "collecting",
    begins_at: 0,
    ends_at: null,
    history: [],
    exclusions: [],
    ...of,
  };
}

export const keys = { viewer: "viewer-key", operator: "operator-key", revoked: "revoked-key" } as const;

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // Tests read what they expect; a wrong shape fails there.
  readonly body: Json;
}
// biome-ignore lint/suspicious/noExplicitAny: answers are read freely here, and checked against their schemas by answers.test.ts
export type Json = any;

export class TestApi {
  private constructor(
    private readonly service: RunningReportApi,
    private readonly metrics: ServiceMetrics,
    readonly control: TestControl,
  ) {}

  static async start(
    store: Pick<Store, "query">,
    control: TestControl,
    changes: Partial<ReportApiSettings> = {},
  ): Promise<TestApi> {
    const sha256 = (key: string) => createHash("sha256").update(key).digest("hex");
    control.put("key", "v", { name: "a viewer", role: "viewer", key_sha256: sha256(keys.viewer), revoked: false });
    control.put("key", "o", { name: "an operator", role: "operator", key_sha256: sha256(keys.operator), revoked: false });
    control.put("key", "r", { name: "a former admin", role: "admin", key_sha256: sha256(keys.revoked), revoked: true });
    const metrics = createMetrics("report-api");
    const logger = createLogger({ service: "report-api", level: "silent" });
    const settings = { host: "127.0.0.1", port: 0, silent_after_ms: 60_000, requests_in_flight_max: 32, ...changes };
    return new TestApi(await startReportApi(settings, { store, control, logger, metrics }), metrics, control);
  }

  get(path: string, headers: Record<string, string> = bearer(keys.viewer)): Promise<Answered> {
    return this.send("GET", path, undefined, headers);
  }

  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = bearer(keys.operator),
  ): Promise<Answered> {
    const response = await fetch(`http://127.0.0.1:${this.service.port}${path}`, {
      method,
      headers: { connection: "close", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) };
  }

  get port(): number {
    return this.service.port;
  }

  ready(): unknown {
    return this.service.ready();
  }

  metricsText(): Promise<string> {
    return this.metrics.registry.metrics();
  }

  async stop(): Promise<void> {
    await this.service.stop();
    await this.service.ended;
    this.metrics.stop();
  }
}

export function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}
