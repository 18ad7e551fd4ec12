import {
  assignPartitions,
  type Claim,
  decodeAssignment,
  decodeMembership,
  encodeAssignment,
  encodeMembership,
  type GroupMember,
  type TopicPartition,
} from "@assay/stream/kafka/assignment";
import { AssignerProtocol } from "kafkajs";
import { seeded } from "./counting-stage";

const nothing: Claim = { generation: -1, partitions: [] };

function member(member_id: string, had: Claim = nothing, topics = ["t"]): GroupMember {
  return { member_id, topics, had };
}

function had(generation: number, ...partitions: number[]): Claim {
  return { generation, partitions: partitions.map((partition) => ({ topic: "t", partition })) };
}

function assign(members: readonly GroupMember[], count: number): Record<string, number[]> {
  const assigned = assignPartitions(members, new Map([["t", count]]));
  return Object.fromEntries([...assigned].map(([id, of]) => [id, of.map(({ partition }) => partition).sort((a, b) => a - b)]));
}

describe("partitions of a group", () => {
  it("are dealt out evenly", () => {
    expect(assign([member("a"), member("b"), member("c")], 7)).toEqual({ a: [0, 1, 2], b: [3, 4], c: [5, 6] });
    expect(assign([member("a"), member("b")], 1)).toEqual({ a: [0], b: [] });
  });

  it("stay where they were when a member joins or leaves", () => {
    expect(assign([member("a", had(1, 0, 1, 2, 3)), member("b")], 4)).toEqual({ a: [0, 1], b: [2, 3] });
    expect(assign([member("a", had(2, 0, 3)), member("b", had(2, 1))], 4)).toEqual({ a: [0, 3], b: [1, 2] });
  });

  it("go to who had them last, where two say that they had them", () => {
    expect(assign([member("a", had(1, 0, 1)), member("b", had(2, 0, 1))], 4)).toEqual({ a: [2, 3], b: [0, 1] });
  });

  it("are each dealt to one member, as evenly as can be, and no more of them move than must", () => {
    const random = seeded(4);
    for (let round = 0; round < 300; round++) {
      const count = 1 + Math.floor(random() * 12);
      const before = Array.from({ length: count }, () => Math.floor(random() * 5));
      const members = Array.from({ length: 1 + Math.floor(random() * 5) }, (_, m) =>
        member(`m${m}`, had(1, ...before.flatMap((owner, partition) => (owner === m ? [partition] : [])))),
      );
      const assigned = assign(members, count);
      const sizes = Object.values(assigned).map((of) => of.length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(
        Object.values(assigned)
          .flat()
          .sort((a, b) => a - b),
      ).toEqual(Array.from({ length: count }, (_, n) => n));
      const kept = members.map(({ member_id, had: of }) => {
        const mine = new Set(assigned[member_id]);
        return of.partitions.filter(({ partition }) => mine.has(partition)).length;
      });
      for (const [m, { had: of }] of members.entries()) {
        expect(kept[m]).toBe(Math.min(of.partitions.length, sizes[m] ?? 0)); // all that it may have
      }
    }
  });

  it("of a topic go only to those who read it, and those with less so far get the odd ones", () => {
    const members = [member("a", nothing, ["s", "t"]), member("b", nothing, ["t"])];
    const counts = new Map([
      ["s", 1],
      ["t", 3],
    ]);
    const assigned = assignPartitions(members, counts);
    expect(assigned.get("a")?.map(({ topic }) => topic)).toEqual(["s", "t"]);
    expect(assigned.get("b")?.map(({ topic }) => topic)).toEqual(["t", "t"]);
  });

  it("travel in Kafka's own form, with what members had", () => {
    const partitions: TopicPartition[] = [
      { topic: "a", partition: 1 },
      { topic: "b", partition: 0 },
      { topic: "b", partition: 10 },
    ];
    expect(decodeAssignment(encodeAssignment([...partitions].reverse()))).toEqual(partitions);
    expect(decodeAssignment(Buffer.alloc(0))).toEqual([]);
    const claim = had(4, 2);
    expect(decodeMembership("m", encodeMembership(["t"], claim))).toEqual(member("m", claim));
    for (const userData of [Buffer.from("{"), Buffer.from("null"), Buffer.from('{"generation":1}')]) {
      const bytes = AssignerProtocol.MemberMetadata.encode({ version: 0, topics: ["t"], userData });
      expect(decodeMembership("m", bytes).had).toEqual(nothing);
    }
  });
});
