/**
 * Who gets which partitions, as decided by the member that leads the group: evenly, topic by topic, and as they were where that is even.
 * Members tell what they had and in which generation; the newest claim counts.
 */
import { AssignerProtocol } from "kafkajs";

export interface GroupMember {
  readonly member_id: string;
  readonly topics: readonly string[];
  readonly had: Claim;
}

export interface Claim {
  readonly generation: number;
  readonly partitions: readonly TopicPartition[];
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export function assignPartitions(
  members: readonly GroupMember[],
  counts: ReadonlyMap<string, number>,
): ReadonlyMap<string, readonly TopicPartition[]> {
  const assigned = new Map<string, TopicPartition[]>(members.map(({ member_id }) => [member_id, []]));
  const load = (member: GroupMember) => assigned.get(member.member_id)?.length ?? 0;
  for (const [topic, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const readers = members.filter(({ topics }) => topics.includes(topic));
    if (readers.length === 0) continue;
    const had = ownersBefore(topic, readers);
    const fair = shares(count, readers, had, load);
    const free: number[] = [];
    for (let partition = 0; partition < count; partition++) {
      const owner = had.get(partition);
      const left = owner ? (fair.get(owner) ?? 0) : 0;
      if (owner && left > 0) {
        fair.set(owner, left - 1);
        assigned.get(owner.member_id)?.push({ topic, partition });
      } else free.push(partition);
    }
    for (const [member, left] of fair) {
      for (const partition of free.splice(0, left)) assigned.get(member.member_id)?.push({ topic, partition });
    }
  }
  return assigned;
}

/** How many partitions of the topic each gets: the odd ones go to those with the least so far, then to those that had the most of them. */
function shares(
  count: number,
  readers: readonly GroupMember[],
  had: ReadonlyMap<number, GroupMember>,
  load: (member: GroupMember) => number,
): Map<GroupMember, number> {
  const before = new Map<GroupMember, number>();
  for (const owner of had.values()) before.set(owner, (before.get(owner) ?? 0) + 1);
  const order = [...readers].sort(
    (a, b) => load(a) - load(b) || (before.get(b) ?? 0) - (before.get(a) ?? 0) || (a.member_id < b.member_id ? -1 : 1),
  );
  const each = Math.floor(count / readers.length);
  return new Map(order.map((member, index) => [member, each + (index < count % readers.length ? 1 : 0)]));
}

function ownersBefore(topic: string, readers: readonly GroupMember[]): ReadonlyMap<number, GroupMember> {
  const owners = new Map<number, GroupMember>();
  for (const member of readers) {
    for (const claim of member.had.partitions) {
      if (claim.topic !== topic) continue;
      const other = owners.get(claim.partition);
      if (!other || other.had.generation < member.had.generation) owners.set(claim.partition, member);
    }
  }
  return owners;
}

/** The name under which members agree on how partitions are dealt out; members of another kind can't join the group. */
export const assignment_protocol = "assay-sticky-1";

export function encodeMembership(topics: readonly string[], had: Claim): Buffer {
  const userData = Buffer.from(JSON.stringify(had), "utf8");
  return AssignerProtocol.MemberMetadata.encode({ version: 0, topics: [...topics], userData });
}

export function decodeMembership(member_id: string, bytes: Buffer): GroupMember {
  const decoded = AssignerProtocol.MemberMetadata.decode(bytes);
  if (!decoded) throw new Error(`the membership of ${member_id} can't be read`);
  return { member_id, topics: decoded.topics, had: readClaim(decoded.userData) };
}

export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const assignment: Record<string, number[]> = {};
  for (const { topic, partition } of partitions) assignment[topic] = [...(assignment[topic] ?? []), partition];
  return AssignerProtocol.MemberAssignment.encode({ version: 0, assignment, userData: Buffer.alloc(0) });
}

/** In order of topic and partition. */
export function decodeAssignment(bytes: Buffer): readonly TopicPartition[] {
  const decoded = bytes.length > 0 ? AssignerProtocol.MemberAssignment.decode(bytes) : null;
  return Object.entries(decoded?.assignment ?? {})
    .flatMap(([topic, partitions]) => partitions.map((partition) => ({ topic, partition })))
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
}

/** From a member of this release, or of another one: what can't be read claims nothing. */
function readClaim(bytes: Buffer): Claim {
  try {
    const claim = JSON.parse(bytes.toString("utf8")) as Partial<Claim> | null;
    if (typeof claim?.generation === "number" && Array.isArray(claim.partitions)) return claim as Claim;
  } catch {
    // not JSON: nothing is claimed
  }
  return { generation: -1, partitions: [] };
}
