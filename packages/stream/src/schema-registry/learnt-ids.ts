/** What is known of schema ids, and how more is learnt from records' headers. The registry never changes what an id stands for. */
import { type SchemaName, wireHeaderBytes } from "@assay/schemas/codec";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import type { AvroSchema, Found, RegistryClient } from "./registry-client";

/** A registry that lags behind its leader may not have yet what a producer has just registered. */
const ask_again_ms = 500;
/** What the registry doesn't have is asked for again after this. */
const unknown_keep_ms = 60_000;
/** Ids that can't be used, remembered at most: anybody who may write to a topic can make up ids. */
const unusable_ids_max = 10_000;

interface Writer {
  readonly name: SchemaName;
  readonly schema: AvroSchema;
}
type Learner = Pick<RegistryClient, "find" | "confirm" | "wait">;

export class LearntIds {
  private readonly writers = new Map<number, Writer>();
  /** Why not, by id. */
  private readonly refused = new Map<number, string>();
  /** When to ask again (performance.now), by id. */
  private readonly unknown = new Map<number, number>();
  private readonly asking = new Map<number, Promise<void>>();

  /** subject: one that is surely registered. */
  constructor(
    private readonly client: Learner,
    private readonly subject: string,
  ) {}

  add(id: number, writer: Writer): void {
    this.writers.set(id, writer);
  }

  writer(id: number): Writer | undefined {
    return this.writers.get(id);
  }

  refusal(id: number): string | undefined {
    return this.refused.get(id);
  }

  async learn(records: readonly { readonly value: Buffer | null }[]): Promise<void> {
    const asked = new Set<Promise<void>>();
    const fresh = new Set<number>();
    for (const { value } of records) {
      if (value === null || value.length < wireHeaderBytes || value[0] !== 0) continue;
      const id = value.readUInt32BE(1);
      if (this.writers.has(id) || this.isRemembered(id)) continue;
      const pending = this.asking.get(id);
      if (pending) asked.add(pending);
      else fresh.add(id);
    }
    if (fresh.size > 0) asked.add(this.ask([...fresh]));
    await Promise.all(asked);
  }

  private isRemembered(id: number): boolean {
    if (this.refused.has(id)) return true;
    const until = this.unknown.get(id);
    return until !== undefined && performance.now() < until;
  }

  /** Many callers may wait for the same ids: they are asked for once. */
  private async ask(ids: readonly number[]): Promise<void> {
    const answer = this.findAll(ids);
    for (const id of ids) this.asking.set(id, answer);
    try {
      await answer;
    } finally {
      for (const id of ids) this.asking.delete(id);
    }
  }

  private async findAll(ids: readonly number[]): Promise<void> {
    const missing = await this.findEach(ids);
    if (missing.length === 0) return;
    await this.client.wait(ask_again_ms);
    // A proxy's "not found" or login page must make no dead letters: the registry has to be there before it is believed.
    await this.client.confirm(this.subject);
    for (const id of await this.findEach(missing, true)) {
      this.unknown.delete(id);
      keep(this.unknown, id, performance.now() + unknown_keep_ms);
    }
  }

  /** Ids that the registry doesn't have, or, until it is believed, gives no schema for. The client bounds how many are asked for at once. */
  private async findEach(ids: readonly number[], believed = false): Promise<readonly number[]> {
    const missing: number[] = [];
    await Promise.all(
      ids.map(async (id) => {
        const found = await this.client.find(id);
        if (found.kind === "none" || (found.kind === "unusable" && !believed)) missing.push(id);
        else this.note(id, found);
      }),
    );
    return missing;
  }

  private note(id: number, found: Exclude<Found, { kind: "none" }>): void {
    this.unknown.delete(id);
    if (found.kind === "unusable") {
      keep(this.refused, id, found.detail);
      return;
    }
    const name = ourNames.get(found.full_name);
    if (name) this.writers.set(id, { name, schema: found.schema });
    else keep(this.refused, id, `${found.full_name} is no record of Assay's`);
  }
}

const ourNames: ReadonlyMap<string, SchemaName> = new Map(schemaVersions.map(({ name }) => [`assay.${name}`, name]));

function keep<V>(map: Map<number, V>, id: number, value: V): void {
  const oldest = map.keys().next();
  if (map.size >= unusable_ids_max && !oldest.done) map.delete(oldest.value);
  map.set(id, value);
}
