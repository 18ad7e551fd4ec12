/**
 * State of a stage whose entries are hosts or applications, spread over buckets by key, so that a checkpoint writes just the buckets
 * that changed. One bucket more holds what belongs to the partition as a whole: the rules in force.
 */
import type { StateForm } from "@assay/stream/stage";

/** As it stands in a checkpoint. The rules themselves are found again by effective_from. */
export interface RulesInForce {
  digest: string;
  effective_from: number;
}

export function noRules(): RulesInForce {
  return { digest: "", effective_from: 0 };
}

export interface KeyedState<Entry> {
  readonly partition: number;
  readonly buckets: readonly Map<string, Entry>[];
  rules: RulesInForce;
  readonly dirty: Set<number>;
}

const entry_buckets = 64;
const rules_bucket = entry_buckets;

/** Bump where an Entry's form changes. */
export function keyedForm<Entry>(version: number): StateForm<KeyedState<Entry>> {
  const empty = (partition: number): KeyedState<Entry> => ({
    partition,
    buckets: Array.from({ length: entry_buckets }, () => new Map<string, Entry>()),
    rules: noRules(),
    dirty: new Set(),
  });
  return {
    version,
    buckets: entry_buckets + 1,
    empty,
    restore(partition, buckets) {
      const state = empty(partition);
      for (let bucket = 0; bucket < entry_buckets; bucket++) {
        for (const [key, entry] of (buckets[bucket] ?? []) as [string, Entry][]) state.buckets[bucket]?.set(key, entry);
      }
      state.rules = (buckets[rules_bucket] as RulesInForce | undefined) ?? noRules();
      return state;
    },
    takeDirty(state) {
      const dirty = [...state.dirty].sort((a, b) => a - b);
      state.dirty.clear();
      return dirty;
    },
    snapshot(state, bucket) {
      if (bucket === rules_bucket) return state.rules.digest === "" ? undefined : state.rules;
      const entries = state.buckets[bucket];
      return entries && entries.size > 0 ? [...entries] : undefined;
    },
  };
}

/** The entry under this key, made where it is new, and marked as changed. */
export function entryOf<Entry>(state: KeyedState<Entry>, key: string, make: () => Entry): Entry {
  const bucket = bucketOf(key);
  const entries = state.buckets[bucket];
  if (!entries) throw new Error(`bucket ${bucket} is past the ${entry_buckets} of this state's form`);
  state.dirty.add(bucket);
  let entry = entries.get(key);
  if (entry === undefined) {
    entry = make();
    entries.set(key, entry);
  }
  return entry;
}

export function markRulesChanged(state: KeyedState<unknown>): void {
  state.dirty.add(rules_bucket);
}

/** FNV-1a over UTF-16 code units: stable across versions, since checkpoints are laid out by it. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % entry_buckets;
}
