/**
 * Consumer groups of the embedded log. A group's state lies in the log, so that members in any thread of the process share it; all of
 * these functions that change it run inside a write transaction.
 *
 * A member joins, tells now and then that it lives, and leaves. Each change of membership begins a new generation: all partitions are
 * dealt out anew, and a commit of an earlier generation is fenced. A member that hasn't been heard of for its session_ms is dropped by
 * the others.
 */
import type { Committed, Position } from "../log";
import type { Environment } from "./environment";
import type { TopicTable } from "./topic-table";

export interface GroupState {
  readonly generation: number;
  /** In the order in which they joined. */
  readonly members: readonly GroupMember[];
  /** Which member has which partition, by partitionId. */
  readonly owners: Readonly<Record<string, string>>;
}

export interface GroupMember {
  readonly id: string;
  readonly topics: readonly string[];
  readonly session_ms: number;
  /** On this process's monotonic clock, which all of its threads share. */
  readonly heard_at: number;
}

export function partitionId(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export function readGroup(environment: Environment, group: string): GroupState {
  const text = environment.groups.get(group);
  return text === undefined ? { generation: 0, members: [], owners: {} } : (JSON.parse(text) as GroupState);
}

export function joinGroup(
  environment: Environment,
  topics: TopicTable,
  group: string,
  member: Omit<GroupMember, "heard_at">,
): void {
  const state = readGroup(environment, group);
  const others = state.members.filter((m) => m.id !== member.id && !isLost(m));
  deal(environment, topics, group, state, [...others, { ...member, heard_at: monotonicMs() }]);
}

export function leaveGroup(environment: Environment, topics: TopicTable, group: string, member_id: string): void {
  const state = readGroup(environment, group);
  const others = state.members.filter((m) => m.id !== member_id);
  if (others.length < state.members.length) deal(environment, topics, group, state, others);
}

/** Notes that the member lives, and drops those that don't; true when that began a new generation. */
export function heartbeat(environment: Environment, topics: TopicTable, group: string, member_id: string): boolean {
  const state = readGroup(environment, group);
  if (!state.members.some((m) => m.id === member_id)) return false;
  const heard = state.members.map((m) => (m.id === member_id ? { ...m, heard_at: monotonicMs() } : m));
  const living = heard.filter((m) => !isLost(m));
  if (living.length < heard.length) deal(environment, topics, group, state, living);
  else save(environment, group, { ...state, members: living });
  return living.length < heard.length;
}

export function commitPosition(
  environment: Environment,
  group: string,
  member_id: string,
  position: Position,
  generation: number,
  note: string,
): "committed" | "fenced" {
  const state = readGroup(environment, group);
  const owner = state.owners[partitionId(position.topic, position.partition)];
  if (state.generation !== generation || owner !== member_id) return "fenced";
  environment.commits.put([group, position.topic, position.partition], `${position.offset} ${note}`);
  return "committed";
}

export function readCommitted(environment: Environment, group: string, topic: string, partition: number): Committed | undefined {
  const text = environment.commits.get([group, topic, partition]);
  if (text === undefined) return undefined;
  const blank = text.indexOf(" ");
  return { offset: Number(text.slice(0, blank)), note: text.slice(blank + 1) };
}

/** For the new owner of the log: members of the process before it are dead. Generations go on counting. */
export function clearMembers(environment: Environment): void {
  for (const group of [...environment.groups.getKeys({})]) {
    const { generation } = readGroup(environment, group);
    save(environment, group, { generation: generation + 1, members: [], owners: {} });
  }
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

function isLost(member: GroupMember): boolean {
  return monotonicMs() - member.heard_at > member.session_ms;
}

function deal(
  environment: Environment,
  topics: TopicTable,
  group: string,
  state: GroupState,
  members: readonly GroupMember[],
): void {
  const owners: Record<string, string> = {};
  for (const topic of new Set(members.flatMap((m) => m.topics))) {
    const readers = members.filter((m) => m.topics.includes(topic));
    for (let partition = 0; partition < topics.get(topic).partitions; partition++) {
      const reader = readers[partition % readers.length];
      if (reader) owners[partitionId(topic, partition)] = reader.id;
    }
  }
  save(environment, group, { generation: state.generation + 1, members, owners });
}

function save(environment: Environment, group: string, state: GroupState): void {
  environment.groups.put(group, JSON.stringify(state));
}
