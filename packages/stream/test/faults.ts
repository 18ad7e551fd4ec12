/** A log that fails on purpose: at its n-th call that waits for something, and at every one after that, as a dead process would. */
import type { Log, Source } from "@assay/stream/log";

export class Crash extends Error {}

export class Faults {
  private calls = 0;
  crashed = false;

  constructor(
    private readonly crash_at_call: number,
    /** Whether the call that crashes still has its effect: the process died after it and before its answer. */
    private readonly with_effect: boolean,
  ) {}

  async around<T>(work: () => Promise<T>): Promise<T> {
    this.check();
    this.calls++;
    if (this.calls < this.crash_at_call) {
      const result = await work();
      this.check();
      return result;
    }
    this.crashed = true;
    if (this.with_effect) await work();
    throw new Crash(`at call ${this.calls}`);
  }

  private check(): void {
    if (this.crashed) throw new Crash("dead already");
  }
}

/** onCommitted is told of each commit that was answered. */
export function faultyLog(log: Log, faults: Faults, onCommitted: () => void): Log {
  return {
    ensureTopics: (topics) => log.ensureTopics(topics),
    partitions: (topic) => log.partitions(topic),
    partitionOf: (topic, key) => log.partitionOf(topic, key),
    append: (records) => faults.around(() => log.append(records)),
    read: (topic, partition, offset, max) => log.read(topic, partition, offset, max),
    bounds: (topic, partition) => log.bounds(topic, partition),
    committed: (group, topic, partition) => log.committed(group, topic, partition),
    close: () => log.close(),
    async source(options) {
      const source = await log.source(options);
      try {
        await faults.around(async () => undefined);
      } catch (error) {
        await source.close(); // what the group does once it has noticed a member's death
        throw error;
      }
      const faulty: Source = {
        next: (wait_ms) => source.next(wait_ms),
        seek: (topic, partition, offset) => source.seek(topic, partition, offset),
        pause: (topic, partition) => source.pause(topic, partition),
        resume: (topic, partition) => source.resume(topic, partition),
        async commit(position, generation, note) {
          const answer = await faults.around(() => source.commit(position, generation, note));
          onCommitted();
          return answer;
        },
        close: () => source.close(),
      };
      return faulty;
    },
  };
}
