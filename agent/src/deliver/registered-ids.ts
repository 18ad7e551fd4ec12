/**
 * Under which ids a schema registry has the schemas that this agent writes with. It only looks: the services register them at their
 * start, those of older agents too. Found once, they stay.
 */
import { type SchemaVersion, schemaVersions } from "@assay/schemas/generated/schemas";
import { subjectOf } from "@assay/schemas/topics";
import type { Outcome } from "./delivery";
import { field } from "./enrol";
import type { Answer, HttpClient } from "./http-client";

export interface RegisteredIdsOptions {
  /** Sends uncompressed, and reads at least answer_bytes of an answer. */
  readonly client: Pick<HttpClient, "post" | "close">;
  readonly username: string;
  readonly password: string;
}

/** Of an answer, that tells the schema again. */
export const answer_bytes = 1_048_576;

export type FoundIds =
  | { readonly kind: "found"; readonly currentId: (name: SchemaVersion["name"]) => number }
  | Extract<Outcome, { kind: "away" }>;

export class RegisteredIds {
  private readonly ids = new Map<SchemaVersion["name"], number>();

  constructor(private readonly options: RegisteredIdsOptions) {}

  async find(signal: AbortSignal): Promise<FoundIds> {
    try {
      for (const name of written) {
        if (this.ids.has(name)) continue;
        const answer = await this.ask(name, signal);
        const id = answer.status === 200 ? field(answer.body, (found) => found.id) : undefined;
        if (typeof id !== "number") return refused(name, answer);
        this.ids.set(name, id);
      }
    } catch (error) {
      return { kind: "away", message: "the schema registry is not reachable", status: 0, reason: (error as Error).message };
    }
    return { kind: "found", currentId: (name) => this.ids.get(name) ?? unwritten(name) };
  }

  close(): void {
    this.options.client.close();
  }

  private ask(name: SchemaVersion["name"], signal: AbortSignal): Promise<Answer> {
    const { client, username, password } = this.options;
    const schema = schemaVersions.findLast((version) => version.name === name)?.schema;
    const credentials = Buffer.from(`${username}:${password}`).toString("base64");
    const headers = {
      "content-type": "application/vnd.schemaregistry.v1+json",
      ...(username === "" ? {} : { authorization: `Basic ${credentials}` }),
    };
    const body = Buffer.from(JSON.stringify({ schema: JSON.stringify(schema) }));
    return client.post(`/subjects/${encodeURIComponent(subjectOf(name))}`, headers, body, signal);
  }
}

const written = ["TelemetryBatch", "InventorySection"] as const satisfies readonly SchemaVersion["name"][];

function unwritten(name: string): never {
  throw new Error(`an agent writes no ${name}`);
}

function refused(name: SchemaVersion["name"], { status, body, retry_after_ms }: Answer): FoundIds {
  const message =
    status === 404
      ? "the schema registry doesn't have this agent's schemas: services of this version, or a newer one, register them when they start"
      : "the schema registry gives no id";
  return { kind: "away", message, status, reason: `${subjectOf(name)}: ${body.slice(0, reason_length_max)}`, retry_after_ms };
}

const reason_length_max = 400;
