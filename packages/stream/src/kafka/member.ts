/**
 * One membership in a consumer group.
 *
 *              join() ─────────────► in a generation ──────────────────────────► over ──► join() again …
 *                │                    heartbeats by timer, commits                 │
 *                │                                                                 │ why:
 *   JoinGroup: waits for the others   a heartbeat says that the group rebalances ──┤ "rebalance": commits are still taken
 *   SyncGroup: the leader deals out   a heartbeat or a commit says that the        │ "lost": the group went on without it
 *                                     generation is over, or the member unknown ───┘
 *
 * over is only told; the member stays in its generation, and may commit and beats on in a rebalance, until its owner calls join() again. The group
 * waits for that for rebalance_ms at most, then goes on without it, and a commit is answered "fenced".
 */
import type { Committed, Position } from "../log";
import {
  assignment_protocol,
  assignPartitions,
  type Claim,
  decodeAssignment,
  decodeMembership,
  encodeAssignment,
  encodeMembership,
  type TopicPartition,
} from "./assignment";
import type { KafkaClient } from "./client";
import { errorType, isTransient, transient } from "./errors";
import { type Broker, type JoinAnswer, sendJoinGroup } from "./kafkajs";
import type { Patience } from "./patience";

/** Heartbeats in a session. */
const heartbeats = 15;

export interface MemberOptions {
  readonly group: string;
  readonly topics: readonly string[];
  readonly session_ms: number;
  readonly rebalance_ms: number;
  /** Called when over has changed. */
  readonly onOver: () => void;
}

export class Member {
  /** Undefined while it joins, and in a generation that goes on. */
  over: "rebalance" | "lost" | undefined;
  generation = -1;
  private member_id = "";
  private had: Claim = { generation: -1, partitions: [] };
  private known_coordinator: Broker | undefined;
  private timer: NodeJS.Timeout | undefined;
  private beating = false;
  private left = false;

  constructor(
    private readonly client: KafkaClient,
    private readonly patience: Patience,
    private readonly options: MemberOptions,
  ) {}

  /** Enters the group's next generation; returns what this member got in it. */
  async join(): Promise<readonly TopicPartition[]> {
    clearInterval(this.timer);
    this.generation = -1;
    this.over = undefined;
    const { group } = this.options;
    const partitions = await this.patience.untilKnown(() => this.joinOnce(), {
      what: `joining the group ${group}`,
      recover: () => this.recover(),
      isOver: () => this.left,
    });
    if (!this.left) this.timer = setInterval(() => void this.beat(), this.options.session_ms / heartbeats);
    return partitions;
  }

  /** Fenced: the generation is over. A commit whose answer was lost is sent again. */
  async commit({ topic, partition, offset }: Position, note: string): Promise<"committed" | "fenced"> {
    const { group } = this.options;
    const { generation, member_id } = this;
    const request = {
      groupId: group,
      groupGenerationId: generation,
      memberId: member_id,
      topics: [{ topic, partitions: [{ partition, offset: String(offset), metadata: note }] }],
    };
    const isOver = () => this.left || this.generation !== generation;
    try {
      await this.patience.untilKnown(async () => (await this.coordinator()).offsetCommit(request), {
        what: `a commit of the group ${group}`,
        recover: () => this.recover(),
        isOver,
      });
      return "committed";
    } catch (error) {
      if (isOver()) return "fenced";
      if (!fenced.has(errorType(error) ?? "")) throw error;
      this.end("lost");
      return "fenced";
    }
  }

  async committed(partitions: readonly TopicPartition[]): Promise<ReadonlyMap<string, Committed>> {
    return this.patience.untilKnown(async () => readCommitted(await this.coordinator(), this.options.group, partitions), {
      what: `reading what the group ${this.options.group} has committed`,
      recover: () => this.recover(),
      isOver: () => this.left || this.over === "lost",
    });
  }

  /** The group learns of it at once; where it can't be told, after session_ms. other: a client whose connections no JoinGroup holds up. */
  async leave(other: KafkaClient): Promise<void> {
    this.left = true;
    clearInterval(this.timer);
    const { member_id } = this;
    if (member_id === "") return;
    const coordinator = await other.coordinator(this.options.group);
    await coordinator.leaveGroup({ groupId: this.options.group, memberId: member_id });
  }

  /** Something else than the group found that the generation can't go on. */
  giveUp(generation: number): void {
    if (this.generation === generation) this.end("lost");
  }

  private async joinOnce(): Promise<readonly TopicPartition[]> {
    const { options } = this;
    for (;;) {
      const coordinator = await this.coordinator();
      try {
        const answer = await sendJoinGroup(coordinator, {
          groupId: options.group,
          sessionTimeout: options.session_ms,
          rebalanceTimeout: options.rebalance_ms,
          memberId: this.member_id,
          groupProtocols: [{ name: assignment_protocol, metadata: encodeMembership(options.topics, this.had) }],
        });
        if ("member_id_given" in answer) {
          this.member_id = answer.member_id_given;
          if (this.left) throw new Error(`the member of ${options.group} has left`);
          continue;
        }
        this.member_id = answer.memberId;
        const partitions = await this.sync(coordinator, answer);
        this.generation = answer.generationId;
        this.had = { generation: answer.generationId, partitions };
        return partitions;
      } catch (error) {
        const type = errorType(error);
        if (this.left || !fenced.has(type ?? "")) throw error;
        if (type !== "REBALANCE_IN_PROGRESS") this.member_id = "";
      }
    }
  }

  private async sync(coordinator: Broker, joined: JoinAnswer): Promise<readonly TopicPartition[]> {
    const leads = joined.leaderId === joined.memberId;
    const { memberAssignment } = await coordinator.syncGroup({
      groupId: this.options.group,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment: leads ? await this.assign(joined) : [],
    });
    return decodeAssignment(memberAssignment);
  }

  private async assign(joined: JoinAnswer): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const members = joined.members.map(({ memberId, memberMetadata }) => decodeMembership(memberId, memberMetadata));
    const counts = await this.client.partitionCounts([...new Set(members.flatMap(({ topics }) => topics))]);
    const known = new Map<string, number>();
    for (const [topic, count] of counts) {
      if (count === undefined) throw transient(`the topic ${topic} of the group ${this.options.group} doesn't exist`);
      known.set(topic, count);
    }
    return [...assignPartitions(members, known)].map(([memberId, partitions]) => ({
      memberId,
      memberAssignment: encodeAssignment(partitions),
    }));
  }

  /** Goes on in a rebalance: the session would end otherwise, long before rebalance_ms. */
  private async beat(): Promise<void> {
    if (this.beating || this.over === "lost" || this.generation < 0) return;
    this.beating = true;
    const { generation, member_id } = this;
    try {
      const coordinator = await this.coordinator();
      await coordinator.heartbeat({ groupId: this.options.group, groupGenerationId: generation, memberId: member_id });
    } catch (error) {
      if (this.left || this.generation !== generation) return;
      const type = errorType(error);
      if (type === "REBALANCE_IN_PROGRESS") this.end("rebalance");
      else if (type !== undefined && fenced.has(type)) this.end("lost");
      else if (isTransient(error))
        this.known_coordinator = undefined; // the next one asks who coordinates now; fetches tell when brokers are away
      else this.end("lost"); // such as a right to the group that was taken away: joining again says so
    } finally {
      this.beating = false;
    }
  }

  private end(why: "rebalance" | "lost"): void {
    if (this.over === "lost" || this.over === why) return;
    this.over = why;
    this.options.onOver();
  }

  private async coordinator(): Promise<Broker> {
    this.known_coordinator ??= await this.client.coordinator(this.options.group);
    return this.known_coordinator;
  }

  private async recover(): Promise<void> {
    this.known_coordinator = undefined;
    await this.client.refresh();
  }
}

/** By topic and partition; those without a commit are left out. */
export async function readCommitted(
  coordinator: Broker,
  group: string,
  partitions: readonly TopicPartition[],
): Promise<ReadonlyMap<string, Committed>> {
  const topics = [...new Set(partitions.map(({ topic }) => topic))].map((topic) => ({
    topic,
    partitions: partitions.filter((of) => of.topic === topic).map(({ partition }) => ({ partition })),
  }));
  const { responses } = await coordinator.offsetFetch({ groupId: group, topics });
  const committed = new Map<string, Committed>();
  for (const { topic, partitions: of_topic } of responses) {
    for (const { partition, offset, metadata } of of_topic) {
      if (Number(offset) >= 0) committed.set(placeOf({ topic, partition }), { offset: Number(offset), note: metadata ?? "" });
    }
  }
  return committed;
}

export function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

const fenced: ReadonlySet<string> = new Set([
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
  "REBALANCE_IN_PROGRESS",
  "FENCED_INSTANCE_ID",
]);
