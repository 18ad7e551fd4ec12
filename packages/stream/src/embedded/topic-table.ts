/** The topics that the embedded log holds, as written in the log itself and remembered by each thread. */
import type { TopicDefinition } from "@assay/schemas/topics";
import type { Environment } from "./environment";

export interface StoredTopic {
  readonly id: number;
  readonly name: string;
  readonly partitions: number;
  readonly cleanup: TopicDefinition["cleanup"];
  readonly retention_ms: number | undefined;
}

export class TopicTable {
  private readonly known = new Map<string, StoredTopic>();

  constructor(private readonly environment: Environment) {}

  get(name: string): StoredTopic {
    const known = this.known.get(name);
    if (known) return known;
    this.load();
    const loaded = this.known.get(name);
    if (!loaded) throw new Error(`the log in ${this.environment.directory} has no topic ${name}: it was never created`);
    return loaded;
  }

  all(): readonly StoredTopic[] {
    this.load();
    return [...this.known.values()];
  }

  /** Writes down how many partitions keyed topics get; each thread creates topics by it. */
  async setKeyedPartitions(partitions: number): Promise<void> {
    await this.environment.write(() => {
      this.environment.meta.put(partitions_key, String(partitions));
    });
  }

  async ensure(definitions: readonly TopicDefinition[]): Promise<void> {
    const { environment } = this;
    await environment.write(() => {
      const stored = readAll(environment);
      const keyed_partitions = Number(environment.meta.get(partitions_key));
      let next_id = 1 + Math.max(0, ...stored.map((t) => t.id));
      for (const definition of definitions) {
        const wanted = definition.partitioning === "keyed" ? keyed_partitions : 1;
        const existing = stored.find((t) => t.name === definition.name);
        if (existing && existing.partitions !== wanted) throw new Error(countDiffers(existing, wanted, environment.directory));
        const topic: StoredTopic = {
          id: existing?.id ?? next_id++,
          name: definition.name,
          partitions: wanted,
          cleanup: definition.cleanup,
          retention_ms: definition.retention_ms,
        };
        environment.topics.put(topic.name, JSON.stringify(topic));
      }
    });
    this.load();
  }

  private load(): void {
    this.environment.refresh();
    for (const topic of readAll(this.environment)) this.known.set(topic.name, topic);
  }
}

const partitions_key = "keyed-partitions";

function readAll(environment: Environment): StoredTopic[] {
  return [...environment.topics.getRange({})].map(({ value }) => JSON.parse(value) as StoredTopic);
}

function countDiffers(existing: StoredTopic, wanted: number, directory: string): string {
  return (
    `topic ${existing.name} has ${existing.partitions} partitions and ${wanted} are asked for. ` +
    "The count is fixed when a topic is created, and no setting changes it: another version of Assay made this log. To go on, use that one. " +
    "To change it: with that one stop the agents, wait a few minutes, stop Assay, see that assay audit has nothing pending, " +
    `move ${directory} away; then start this one, and the agents.`
  );
}
