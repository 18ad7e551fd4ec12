/**
 * What is asked of a schema registry, with patience: it being away (no connection, a timeout, 5xx, 429, an answer that no registry gives)
 * is waited out, with backoff, up to retry_wait_ms. What it says itself is a value; wrong credentials throw at once.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { SchemaVersion } from "@assay/schemas/generated/schemas";
import { COMPATIBILITY, SchemaRegistry } from "@kafkajs/confluent-schema-registry";

export interface RegistryClientOptions {
  /** With the path under which it speaks Confluent's API, such as http://registry:8080/apis/ccompat/v7. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM of the authority that its certificate is from; the system's where left out. */
  readonly ca?: Buffer;
  /** How long it may be away before an operation rejects. */
  readonly retry_wait_ms?: number;
  readonly logger?: RegistryLogger;
}

export interface RegistryLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export type AvroSchema = SchemaVersion["schema"];
export type Registered =
  | { readonly kind: "registered"; readonly id: number }
  | { readonly kind: "incompatible"; readonly detail: string };
export type Found =
  | { readonly kind: "avro"; readonly full_name: string; readonly schema: AvroSchema }
  /** It is there and can't be used. */
  | { readonly kind: "unusable"; readonly detail: string }
  | { readonly kind: "none" };

const retry_wait_ms_default = 300_000;
const request_wait_ms = 10_000;
const requests_in_flight_max = 8;
const backoff_first_ms = 100;
const backoff_max_ms = 5_000;

export class RegistryClient {
  /** Without credentials, for messages. */
  readonly url: string;
  private readonly agent: HttpAgent;
  private readonly registry: SchemaRegistry;
  private readonly waiting = new Set<() => void>();
  private closed = false;
  private away = false;

  constructor(private readonly options: RegistryClientOptions) {
    const { url, auth } = withoutCredentials(options);
    this.url = url;
    const keep = { keepAlive: true, maxSockets: requests_in_flight_max };
    this.agent = url.startsWith("https:")
      ? new HttpsAgent({ ...keep, ...(options.ca ? { ca: options.ca } : {}) })
      : new HttpAgent(keep);
    this.registry = new SchemaRegistry({
      host: url,
      clientId: "assay",
      agent: this.agent,
      retry: { retries: 0 },
      middlewares: [withTimeout],
      ...(auth ? { auth } : {}),
    });
  }

  /** Registers a schema, or finds it registered, and sees to the subject's compatibility. */
  async register(subject: string, schema: AvroSchema): Promise<Registered> {
    return this.patiently(async () => {
      try {
        return { kind: "registered", id: await this.registerOnce(subject, schema) };
      } catch (error) {
        if (statusOf(error) !== conflict) throw error;
        // A replica that registered the same at the same moment is no conflict.
        const id = await this.registeredId(subject, schema);
        return id === undefined ? { kind: "incompatible", detail: messageOf(error) } : { kind: "registered", id };
      }
    });
  }

  async find(id: number): Promise<Found> {
    return this.patiently(async () => {
      try {
        const type: unknown = await this.registry.getSchema(id);
        return found(type);
      } catch (error) {
        const status = statusOf(error);
        if (status === not_found) return { kind: "none" };
        if (status !== undefined) throw error;
        return { kind: "unusable", detail: `can't be understood: ${messageOf(error)}` };
      } finally {
        this.registry.cache.clear(); // what is known is kept by who asks
      }
    });
  }

  /** Resolves once the registry itself has answered for a subject that is there: so that what it says is missing really is. */
  async confirm(subject: string): Promise<void> {
    await this.patiently(async () => idIn(await this.registry.getLatestSchemaId(subject)));
  }

  /** Resolves after this time; rejects when the client is closed. */
  async wait(wait_ms: number): Promise<void> {
    if (this.closed) throw this.closedError();
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, wait_ms);
      this.waiting.add(wake);
    });
    if (this.closed) throw this.closedError();
  }

  close(): void {
    this.closed = true;
    for (const wake of [...this.waiting]) wake();
    this.agent.destroy();
  }

  private async registerOnce(subject: string, schema: AvroSchema): Promise<number> {
    const compatibility = COMPATIBILITY.BACKWARD_TRANSITIVE;
    const raw = schema as RawSchema;
    try {
      return idIn((await this.registry.register(raw, { subject, compatibility })).id);
    } catch (error) {
      if ((error as Error).name !== "ConfluentSchemaRegistryCompatibilityError") throw error;
      // Nothing narrower than ours is taken away. Some registries say NONE of a subject for which nothing was set.
      const stricter = COMPATIBILITY.FULL_TRANSITIVE;
      if (!messageOf(error).includes(`!= ${stricter})`)) {
        await this.setCompatibility(subject, compatibility, messageOf(error));
        return idIn((await this.registry.register(raw, { subject, compatibility })).id);
      }
      return idIn((await this.registry.register(raw, { subject, compatibility: stricter })).id);
    }
  }

  /** The client sets a subject's compatibility only at its first registration, and has no other public way to do so. */
  private async setCompatibility(subject: string, compatibility: COMPATIBILITY, found: string): Promise<void> {
    const { api } = this.registry as unknown as { api: { Subject: { updateConfig(request: object): Promise<unknown> } } };
    await api.Subject.updateConfig({ subject, body: { compatibility } });
    this.options.logger?.warn({ subject, compatibility, found }, "set the subject's compatibility in the schema registry");
  }

  private async registeredId(subject: string, schema: AvroSchema): Promise<number | undefined> {
    try {
      return idIn(await this.registry.getRegistryIdBySchema(subject, schema as RawSchema));
    } catch (error) {
      // The client tells of a 404 by a class that has no status.
      if ((error as Error).name === "ConfluentSchemaRegistryError") return undefined;
      throw error;
    }
  }

  private async patiently<T>(ask: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const retry_wait_ms = this.options.retry_wait_ms ?? retry_wait_ms_default;
    for (let wait_ms = backoff_first_ms; ; wait_ms = Math.min(wait_ms * 2, backoff_max_ms)) {
      if (this.closed) throw this.closedError();
      try {
        const answer = await ask();
        this.noteAnswer();
        return answer;
      } catch (error) {
        if (this.closed) throw this.closedError();
        this.refuseForGood(error);
        const left_ms = began + retry_wait_ms - performance.now();
        if (left_ms <= 0) throw this.awayError(retry_wait_ms, error);
        this.noteAway(error, retry_wait_ms);
        await this.wait(Math.min(wait_ms * (0.5 + Math.random() / 2), left_ms));
      }
    }
  }

  private refuseForGood(error: unknown): void {
    const status = statusOf(error);
    const what = `the schema registry at ${this.url}`;
    if (status === 401 || status === 403) {
      throw new Error(
        `${what} refuses the credentials (${status}): ASSAY_SCHEMA_REGISTRY_USER and ASSAY_SCHEMA_REGISTRY_PASSWORD: ${messageOf(error)}`,
        { cause: error },
      );
    }
    if (status === unprocessable) throw new Error(`${what} can't make sense of a schema: ${messageOf(error)}`, { cause: error });
  }

  private noteAway(error: unknown, retry_wait_ms: number): void {
    if (this.away) return;
    this.away = true;
    this.options.logger?.warn(
      { url: this.url, reason: messageOf(error), retry_wait_ms },
      "the schema registry is away; it is asked again",
    );
  }

  private noteAnswer(): void {
    if (!this.away) return;
    this.away = false;
    this.options.logger?.info({ url: this.url }, "the schema registry answers again");
  }

  private awayError(retry_wait_ms: number, cause: unknown): Error {
    return new Error(
      `the schema registry at ${this.url} gave no answer for ${retry_wait_ms} ms, the limit (ASSAY_KAFKA_RETRY_MS): ${messageOf(cause)}`,
      { cause },
    );
  }

  private closedError(): Error {
    return new Error(`the schema registry's client for ${this.url} was closed`);
  }
}

type RawSchema = Parameters<SchemaRegistry["register"]>[0];
const not_found = 404;
const conflict = 409;
const unprocessable = 422;

/** Undefined for what didn't come from the network. No answer at all is told by the client as 400. */
function statusOf(error: unknown): number | undefined {
  const { status } = error as { status?: unknown };
  return typeof status === "number" ? status : undefined;
}

function messageOf(error: unknown): string {
  return (error as Error).message;
}

/** A page of a proxy's is no answer. */
function idIn(id: unknown): number {
  if (!Number.isInteger(id)) throw new Error("the answer holds no schema id: is the URL that of a schema registry?");
  return id as number;
}

function found(type: unknown): Found {
  const { typeName, name } = type as { typeName?: unknown; name?: unknown };
  if (typeName !== "record" || typeof name !== "string") return { kind: "unusable", detail: "is no Avro record" };
  return { kind: "avro", full_name: name, schema: JSON.parse(JSON.stringify(type)) as AvroSchema };
}

const withTimeout: Exclude<ConstructorParameters<typeof SchemaRegistry>[0]["middlewares"], undefined>[number] = () => ({
  prepareRequest: async (next) => (await next()).enhance({ timeout: request_wait_ms }),
});

/** Credentials may stand in the URL; messages and logs must not have them. */
function withoutCredentials(options: RegistryClientOptions): {
  readonly url: string;
  readonly auth: { readonly username: string; readonly password: string } | undefined;
} {
  const url = new URL(options.url);
  const username = options.username ?? decodeURIComponent(url.username);
  const password = options.password ?? decodeURIComponent(url.password);
  url.username = "";
  url.password = "";
  return { url: url.href.replace(/\/+$/, ""), auth: username === "" && password === "" ? undefined : { username, password } };
}
